// The ACPI fixed registers that the FADT names: just enough of them that a guest can power itself off. Raises no SCI.
// Source: ACPI 6.4 §4.8.3
import { GPE0_PORT, PM1A_CNT_PORT, PM1A_EVT_PORT } from '../boot/layout.ts';

const SCI_EN = 1;
const SLP_EN = 1 << 13;

/** [first port, bytes, writable]: status registers have nothing to tell, enable and control registers keep what is written. */
const REGISTERS: readonly (readonly [number, number, boolean])[] = [
  [PM1A_EVT_PORT, 2, false],
  [PM1A_EVT_PORT + 2, 2, true],
  [PM1A_CNT_PORT, 2, true],
  [GPE0_PORT, 2, false],
  [GPE0_PORT + 2, 2, true],
];

export interface AcpiPowerState {
  /** Bytes of REGISTERS one after the other. */
  readonly bytes: Uint8Array;
}

export class AcpiPower {
  #bytes = new Uint8Array(2 * REGISTERS.length);

  #place(port: number): { readonly at: number; readonly writable: boolean } | undefined {
    for (const [i, [first, bytes, writable]] of REGISTERS.entries())
      if (port >= first && port < first + bytes) return { at: 2 * i + port - first, writable };
    return undefined;
  }

  /** All ones where no register is, which is every other port of a PVH guest. */
  readPort(port: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) {
      const place = this.#place(port + i);
      let byte = place === undefined ? 0xff : (this.#bytes[place.at] ?? 0);
      if (port + i === PM1A_CNT_PORT) byte |= SCI_EN;
      value = value * 256 + byte;
    }
    return value;
  }

  /** True when the guest asked for a sleeping state: S5 is the only one that there is. */
  writePort(port: number, size: number, value: number): boolean {
    for (let i = 0; i < size; i++) {
      const place = this.#place(port + i);
      if (place?.writable) this.#bytes[place.at] = Math.floor(value / 256 ** i) & 0xff;
    }
    return port === PM1A_CNT_PORT && size >= 2 && (value & SLP_EN) !== 0;
  }

  snapshot(): AcpiPowerState {
    return { bytes: this.#bytes.slice() };
  }

  restore(state: AcpiPowerState): void {
    this.#bytes = state.bytes.slice();
  }
}
