/** Pages that RMI_DATA_CREATE copies into realms: agents, a page of zeros and pages of patterns. */
import { agentCode } from "./agent.js";
import { PAGE, SOURCES } from "./layout.js";

let made: readonly Uint8Array[] | undefined;

export function sources(): readonly Uint8Array[] {
  return (made ??= Array.from({ length: SOURCES }, (_, n) => {
    if (n < 4) return agentCode();
    const page = new Uint8Array(PAGE);
    if (n > 4) for (let i = 0; i < PAGE; i++) page[i] = (i * n + (i >> 8)) & 0xff;
    return page;
  }));
}
