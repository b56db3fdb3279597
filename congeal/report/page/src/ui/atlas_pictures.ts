/** The pictures of the atlas: averages before and after, feature colours, saliency, confidence. */
import { sequential } from "../draw/colour.ts";
import type { Field } from "../geometry/fields.ts";
import { h } from "./dom.ts";

export type Choice = "after" | "before" | "colours" | "saliency" | "confidence";

export interface AtlasPictures {
  readonly elements: readonly HTMLElement[];
  readonly choices: readonly (readonly [Choice, string])[];
  show(choice: Choice): void;
}

interface Sources {
  readonly before: string | null;
  readonly after: string | null;
  readonly colours: string | null;
  readonly saliency: Field | null;
  readonly confidence: Field | null;
}

export function atlasPictures(sources: Sources): AtlasPictures {
  const picture = (source: string | null, alt: string): HTMLElement =>
    source ? h("img", { alt, draggable: "false" }) : h("span", { class: "missing" }, "no picture");
  const before = picture(sources.before, "Average of the members as they are");
  const after = picture(sources.after, "Average of the members in the atlas frame");
  const colours = picture(sources.colours, "Features of the atlas as colours: like colours are like features");
  const files: { readonly [choice: string]: string | null } = { before: sources.before, after: sources.after, colours: sources.colours };
  const saliency = fieldPicture(sources.saliency, "Saliency of the atlas: yellow is what the members have in common");
  const confidence = fieldPicture(sources.confidence, "Confidence of the maps: yellow is sure");
  const elements: HTMLElement[] = [before, after, colours];
  const choices: [Choice, string][] = [
    ["after", "After"],
    ["before", "Before"],
    ["colours", "Features"],
  ];
  if (saliency) {
    elements.push(saliency);
    choices.push(["saliency", "Saliency"]);
  }
  if (confidence) {
    elements.push(confidence);
    choices.push(["confidence", "Confidence"]);
  }
  const parts: { [choice in Choice]: HTMLElement | null } = { after, before, colours, saliency, confidence };
  const show = (choice: Choice): void => {
    for (const [name, element] of Object.entries(parts)) {
      if (!element) continue;
      // A picture is read when it is first looked at.
      const source = files[name];
      if (name === choice && source && !element.hasAttribute("src")) element.setAttribute("src", source);
      element.style.opacity = name === choice ? "1" : "0";
      element.setAttribute("aria-hidden", String(name !== choice));
    }
  };
  show("after");
  return {
    elements,
    choices,
    show,
  };
}

function fieldPicture(field: Field | null, label: string): HTMLCanvasElement | null {
  if (!field) return null;
  const canvas = h("canvas", { width: field.side, height: field.side, role: "img", "aria-label": label });
  const context = canvas.getContext("2d");
  if (!context) return null;
  const image = context.createImageData(field.side, field.side);
  for (let i = 0; i < field.side * field.side; i++) image.data.set([...sequential(field.values[i]), 255], 4 * i);
  context.putImageData(image, 0, 0);
  return canvas;
}
