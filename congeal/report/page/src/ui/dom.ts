/** Elements without markup: every text from data becomes text, never HTML. */
type Child = Node | string | number | null | undefined | false;

interface Props {
  readonly class?: string;
  readonly title?: string;
  readonly on?: { [event: string]: (event: any) => void };
  readonly [attribute: string]: unknown;
}

/** An element. Props are attributes but for `class` and `on`; null, undefined and false are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value as object)) element.addEventListener(event, listener);
    } else if (name === "class") element.className = String(value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, ...children);
  return element;
}

export function append(parent: Element, ...children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
}

export function clear(element: Element): void {
  element.replaceChildren();
}

/** One out of several, as a group of buttons. */
export function segmented<T extends string>(
  label: string,
  options: readonly (readonly [T, string])[],
  current: T,
  choose: (value: T) => void,
): HTMLElement {
  const buttons = options.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": String(value === current), "data-value": value }, text),
  );
  const group = h("div", { class: "segmented", role: "group", "aria-label": label }, ...buttons);
  group.addEventListener("click", (event) => {
    const button = (event.target as Element).closest("button");
    if (!button) return;
    for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    choose(button.dataset.value as T);
  });
  return group;
}

/** A check box with its label. */
export function toggle(label: string, on: boolean, change: (on: boolean) => void, title?: string): HTMLElement {
  const box = h("input", { type: "checkbox", on: { change: () => change(box.checked) } });
  box.checked = on;
  return h("label", { class: "toggle", title }, box, h("span", {}, label));
}

/** A button that copies a text and says that it did. */
export function copyButton(label: string, text: () => string): HTMLElement {
  const button: HTMLButtonElement = h(
    "button",
    {
      type: "button",
      class: "quiet",
      on: {
        click: async () => {
          const done = await copy(text());
          button.textContent = done ? "Copied" : "Copying is not allowed here";
          setTimeout(() => (button.textContent = label), 1500);
        },
      },
    },
    label,
  );
  return button;
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages opened from disk have no clipboard in some browsers; a selected text can still be copied.
    const area = h("textarea", { class: "offscreen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Have the browser save a text as a file. */
export function download(name: string, text: string, type = "text/plain"): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
