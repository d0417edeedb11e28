/** What a long command is doing: lines, and on a terminal one line that changes in place. On stderr always. */

export interface Progress {
  /** A step that begins; stays on the screen. */
  readonly step: (text: string) => void;
  /** How far the step is: shown on a terminal only. */
  readonly amount: (text: string) => void;
  /** Removes what is shown in place. */
  readonly clear: () => void;
}

export const silent: Progress = { step: () => {}, amount: () => {}, clear: () => {} };

/** Progress on a stream; `terminal` when it is one. */
export function progressOn(
  write: (text: string) => void,
  { terminal, now = Date.now }: { readonly terminal: boolean; readonly now?: () => number },
): Progress {
  let shown = 0;
  let drawn = false;
  const clear = () => {
    if (drawn) write("\r\x1b[K");
    drawn = false;
  };
  return {
    clear,
    step: (text) => {
      clear();
      write(`${text}\n`);
    },
    amount: (text) => {
      if (!terminal || now() - shown < 100) return;
      shown = now();
      write(`\r\x1b[K${text}`);
      drawn = true;
    },
  };
}

/** `12.3 MB`: decimal units, as apt counts. */
export function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(0)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
