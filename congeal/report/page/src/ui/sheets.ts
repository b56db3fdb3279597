/** Sheets of thumbnails, fetched when one of their cells is to be shown. */
import { file } from "../data/scripts.ts";
import type { Sheets } from "../data/types.ts";

const AT_ONCE = 4;
const MOST = 160; // sheets kept: a sheet of 100 thumbnails is 1.6 MB when decoded

export interface Cell {
  readonly picture: HTMLImageElement;
  readonly x: number;
  readonly y: number;
  readonly side: number;
}

export class SheetCache {
  arrived: () => void = () => {};
  private readonly there = new Map<number, HTMLImageElement | null>();
  private readonly waiting: number[] = [];
  private underway = 0;

  constructor(private readonly sheets: Sheets) {}

  /** A cell, if its sheet is there; otherwise it is asked for. */
  cell(sheet: number, cell: number): Cell | null {
    if (sheet < 0 || sheet >= this.sheets.path.length) return null;
    const picture = this.there.get(sheet);
    if (picture === undefined) {
      if (!this.waiting.includes(sheet)) this.waiting.push(sheet);
      this.fetch();
      return null;
    }
    if (!picture) return null;
    const columns = this.sheets.columns[sheet];
    const side = this.sheets.cell;
    return { picture, x: (cell % columns) * side, y: Math.floor(cell / columns) * side, side };
  }

  /** Show a cell as the background of an element. */
  onto(element: HTMLElement, sheet: number, cell: number, size: number): void {
    if (sheet < 0 || sheet >= this.sheets.path.length) return;
    const columns = this.sheets.columns[sheet];
    element.style.backgroundImage = `url("${file(this.sheets.path[sheet])}")`;
    element.style.backgroundSize = `${columns * size}px auto`;
    element.style.backgroundPosition = `${-(cell % columns) * size}px ${-Math.floor(cell / columns) * size}px`;
  }

  private fetch(): void {
    while (this.underway < AT_ONCE && this.waiting.length) {
      const sheet = this.waiting.pop() as number;
      const picture = new Image();
      this.underway++;
      const done = (there: HTMLImageElement | null): void => {
        this.underway--;
        this.there.set(sheet, there);
        const oldest = this.there.keys().next().value;
        if (this.there.size > MOST && oldest !== undefined) this.there.delete(oldest);
        this.arrived();
        this.fetch();
      };
      picture.onload = () => void picture.decode().then(() => done(picture), () => done(null));
      picture.onerror = () => done(null);
      picture.src = file(this.sheets.path[sheet]);
    }
  }
}
