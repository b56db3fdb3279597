/** Marks over pictures: points, outlines, grids. Dark and light lines together show on any picture. */
export interface Mark {
  readonly x: number;
  readonly y: number;
  readonly colour: string;
  /** From 0 to 1: how sure it is. */
  readonly opacity: number;
  readonly seen: boolean;
  readonly large?: boolean;
}

export function drawPoint(context: CanvasRenderingContext2D, mark: Mark, ratio: number): void {
  if (mark.opacity < 0.02) return;
  const radius = (mark.large ? 6 : 4.5) * ratio;
  context.globalAlpha = mark.opacity;
  context.beginPath();
  context.arc(mark.x, mark.y, radius, 0, 2 * Math.PI);
  if (mark.seen) {
    context.fillStyle = mark.colour;
    context.fill();
  }
  context.lineWidth = 3.5 * ratio;
  context.strokeStyle = "rgb(0 0 0 / 0.55)";
  context.stroke();
  context.lineWidth = 1.75 * ratio;
  context.strokeStyle = mark.seen ? "#fff" : mark.colour;
  context.stroke();
  context.globalAlpha = 1;
}

/** A closed line through [x0, y0, x1, y1, …]. */
export function drawOutline(
  context: CanvasRenderingContext2D,
  line: readonly number[],
  colour: string,
  opacity: number,
  ratio: number,
): void {
  if (line.length < 4 || opacity < 0.02) return;
  context.beginPath();
  context.moveTo(line[0], line[1]);
  for (let i = 2; i < line.length; i += 2) context.lineTo(line[i], line[i + 1]);
  context.closePath();
  context.globalAlpha = 0.22 * opacity;
  context.fillStyle = colour;
  context.fill();
  context.globalAlpha = opacity;
  context.lineJoin = "round";
  context.lineWidth = 3.5 * ratio;
  context.strokeStyle = "rgb(0 0 0 / 0.5)";
  context.stroke();
  context.lineWidth = 1.75 * ratio;
  context.strokeStyle = colour;
  context.stroke();
  context.globalAlpha = 1;
}

/** A number on a dark disc. */
export function drawNumber(context: CanvasRenderingContext2D, x: number, y: number, text: string, colour: string, ratio: number): void {
  context.beginPath();
  context.arc(x, y, 10 * ratio, 0, 2 * Math.PI);
  context.fillStyle = "rgb(0 0 0 / 0.75)";
  context.fill();
  context.lineWidth = 2 * ratio;
  context.strokeStyle = colour;
  context.stroke();
  context.fillStyle = "#fff";
  context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x, y);
}

/** A ring around what is pointed at. */
export function drawRing(context: CanvasRenderingContext2D, x: number, y: number, ratio: number): void {
  context.beginPath();
  context.arc(x, y, 7 * ratio, 0, 2 * Math.PI);
  context.lineWidth = 4 * ratio;
  context.strokeStyle = "rgb(0 0 0 / 0.6)";
  context.stroke();
  context.lineWidth = 2 * ratio;
  context.strokeStyle = "#fff";
  context.stroke();
}

/** What is being drawn around, [x0, y0, x1, y1, …]. */
export function drawLasso(context: CanvasRenderingContext2D, polygon: readonly number[], ratio: number): void {
  context.beginPath();
  for (let k = 0; k < polygon.length; k += 2) context.lineTo(polygon[k], polygon[k + 1]);
  context.closePath();
  context.fillStyle = "rgb(0 114 178 / 0.15)";
  context.fill();
  context.lineWidth = 1.5 * ratio;
  context.strokeStyle = "#0072b2";
  context.stroke();
}
