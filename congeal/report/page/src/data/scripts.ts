/** Data that comes in scripts: the one way that is open to a page opened from disk. */
interface Global {
  congealReport?: { [key: string]: unknown } & { inline?: Inline };
}

/** A page that carries all its data, for notebooks. */
interface Inline {
  readonly start: string;
  readonly files: { readonly [path: string]: string };
}

const global = globalThis as Global;
const loading = new Map<string, Promise<unknown>>();

export function held<T>(key: string): T | undefined {
  return global.congealReport?.[key] as T | undefined;
}

export function inline(): Inline | undefined {
  return global.congealReport?.inline;
}

/** The data of a key, from the script at `path` (relative to the page) unless it is there already. */
export function load<T>(key: string, path: string): Promise<T> {
  const there = held<T>(key);
  if (there !== undefined) return Promise.resolve(there);
  let found = loading.get(path) as Promise<T> | undefined;
  if (!found) {
    found = new Promise<T>((resolve, reject) => {
      const script = document.createElement("script");
      script.src = path;
      script.onload = () => {
        script.remove();
        const value = held<T>(key);
        if (value === undefined) reject(new Error(`${path} does not hold what it should: make the report again with "congeal report"`));
        else resolve(value);
      };
      script.onerror = () => {
        script.remove();
        loading.delete(path);
        reject(new Error(`${path} could not be read: copy the whole folder of the report, or make it again with "congeal report"`));
      };
      document.head.append(script);
    });
    loading.set(path, found);
  }
  return found;
}

/** A path that `script` names, relative to the page. */
export function beside(script: string, path: string): string {
  const parts = script.split("/").slice(0, -1);
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** What an <img> takes for a picture that `script` holds or names. */
export function pictureOf(script: string, picture: string | null): string | null {
  return picture && (picture.startsWith("data:") ? picture : file(beside(script, picture)));
}

/** What an <img> or a fetch takes for a file of the report. */
export function file(path: string): string {
  return inline()?.files[path] ?? path;
}
