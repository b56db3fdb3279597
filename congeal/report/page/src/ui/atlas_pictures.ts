/** The pictures of the atlas: averages before and after, feature colours, saliency, confidence. */
import { sequential } from "../draw/colour.ts";
import type { Field } from "../geometry/fields.ts";
import { h } from "./dom.ts";

export type Choice = "average" | "colours" | "saliency" | "confidence";

export interface AtlasPictures {
  readonly elements: readonly HTMLElement[];
  readonly choices: readonly (readonly [Choice, string])[];
  show(choice: Choice, t: number): void;
  /** The average follows its members from before to after. */
  morph(t: number): void;
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
    source ? h("img", { src: source, alt, draggable: "false" }) : h("span", { class: "missing" }, "no picture");
  const before = picture(sources.before, "Average of the members as they are");
  const after = picture(sources.after, "Average of the members in the atlas frame");
  const colours = picture(sources.colours, "Features of the atlas as colours: like colours are like features");
  const saliency = fieldPicture(sources.saliency, "Saliency of the atlas: yellow is what the members have in common");
  const confidence = fieldPicture(sources.confidence, "Confidence of the maps: yellow is sure");
  const elements: HTMLElement[] = [before, after, colours];
  const choices: [Choice, string][] = [
    ["average", "Average"],
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
  let current: Choice = "average";
  const opacity = (element: HTMLElement | null, value: number): void => {
    if (!element) return;
    element.style.opacity = String(value);
    element.style.visibility = value > 0 ? "visible" : "hidden";
  };
  const show = (choice: Choice, t: number): void => {
    current = choice;
    opacity(before, choice === "average" ? 1 : 0);
    opacity(after, choice === "average" ? t : 0);
    opacity(colours, choice === "colours" ? 1 : 0);
    opacity(saliency, choice === "saliency" ? 1 : 0);
    opacity(confidence, choice === "confidence" ? 1 : 0);
  };
  show("average", 0);
  return {
    elements,
    choices,
    show,
    morph(t) {
      if (current === "average") opacity(after, t);
    },
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
