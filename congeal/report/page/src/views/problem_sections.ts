/** The lists of the page "What to check", and their addresses. */
export const SECTIONS = ["clusters", "misfits", "loose", "failed", "duplicates"] as const;

export type Section = (typeof SECTIONS)[number];

export function placeOf(section: Section): string {
  return `#/problems/${section}`;
}
