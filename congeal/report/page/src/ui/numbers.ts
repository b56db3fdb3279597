/** Numbers and names as people read them. */
export function count(n: number): string {
  // Intl.NumberFormat takes as long to be made as everything else on the page.
  return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** "1 image", "3 images". */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

export function decimal(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  // Small numbers keep two digits that say something.
  return value !== 0 && Math.abs(value) < 10 ** (1 - digits) ? String(Number(value.toPrecision(2))) : value.toFixed(digits);
}

export function percent(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : `${Math.round(value * 100)} %`;
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** The last part of a path, in the middle shortened if it is very long; control characters made visible. */
export function shortName(uri: string, most = 60): string {
  const name = visible(uri.slice(uri.lastIndexOf("/") + 1) || uri);
  return name.length <= most ? name : `${name.slice(0, most / 2)}…${name.slice(-most / 2 + 1)}`;
}

/** A name whose line breaks and other control characters show as symbols. */
export function visible(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : "\u2423";
  });
}
