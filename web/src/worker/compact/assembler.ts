/** Writes WebAssembly: as much of it as loops over 128-bit vectors need. */

const TYPES = { i32: 0x7f, f32: 0x7d, v128: 0x7b } as const;

export type Type = keyof typeof TYPES;
export type Local = number;

const FLOATS = 4; // bytes

/** One function; its parameters are its first locals. */
export class Code {
  private readonly bytes: number[] = [];
  private readonly locals: Type[] = [];

  constructor(
    readonly name: string,
    readonly parameters: readonly Type[],
    /** Whether a product and a sum may be rounded once. */
    private readonly fused: boolean,
  ) {}

  local(type: Type): Local {
    return this.parameters.length + this.locals.push(type) - 1;
  }

  get(local: Local): this {
    return this.put(0x20, ...unsigned(local));
  }

  set(local: Local): this {
    return this.put(0x21, ...unsigned(local));
  }

  number(value: number): this {
    return this.put(0x41, ...signed(value));
  }

  add(): this {
    return this.put(0x6a);
  }

  multiply(): this {
    return this.put(0x6c);
  }

  /** Adds to a local what `amount` leaves on the stack. */
  advance(local: Local, amount: () => void): void {
    this.get(local);
    amount();
    this.add().set(local);
  }

  /** Runs `body` for an index from 0 on in steps, at least once. */
  loop(index: Local, end: Local, step: number, body: () => void): void {
    this.number(0).set(index);
    this.put(0x03, 0x40);
    body();
    this.advance(index, () => this.number(step));
    this.get(index).get(end).put(0x48, 0x0d, 0, 0x0b); // again while it is less
  }

  when(condition: Local, body: () => void): void {
    this.get(condition).put(0x04, 0x40);
    body();
    this.put(0x0b);
  }

  /** Loads a whole number from the address that is on the stack. */
  loadInteger(): this {
    return this.put(0x28, 2, 0);
  }

  /** Loads four numbers, at so many numbers after an address. */
  load(address: Local, offset = 0): this {
    return this.get(address).vector(0, 0, ...unsigned(FLOATS * offset));
  }

  /** Loads one number into all four places. */
  loadOne(address: Local, offset = 0): this {
    return this.get(address).vector(9, 0, ...unsigned(FLOATS * offset));
  }

  store(address: Local, value: Local, offset = 0): this {
    return this.get(address).get(value).vector(11, 0, ...unsigned(FLOATS * offset));
  }

  splat(): this {
    return this.vector(19);
  }

  plus(): this {
    return this.vector(228);
  }

  times(): this {
    return this.vector(230);
  }

  larger(): this {
    return this.vector(235);
  }

  /** `sum += a * b` */
  accumulate(sum: Local, a: Local, b: Local): void {
    if (this.fused) this.get(a).get(b).get(sum).vector(261).set(sum);
    else this.get(sum).get(a).get(b).times().plus().set(sum);
  }

  /** The function as a module has it. */
  body(): number[] {
    const locals = this.locals.flatMap((type) => [1, TYPES[type]]);
    const content = [...unsigned(this.locals.length), ...locals, ...this.bytes, 0x0b];
    return [...unsigned(content.length), ...content];
  }

  signature(): number[] {
    return [0x60, ...unsigned(this.parameters.length), ...this.parameters.map((type) => TYPES[type]), 0];
  }

  private vector(code: number, ...more: readonly number[]): this {
    return this.put(0xfd, ...unsigned(code), ...more);
  }

  private put(...bytes: readonly number[]): this {
    for (const byte of bytes) this.bytes.push(byte);
    return this;
  }
}

/** A module of functions that share the memory which they are given as `memory`. */
export function moduleOf(functions: readonly Code[]): Uint8Array<ArrayBuffer> {
  const text = (name: string): number[] => [name.length, ...new TextEncoder().encode(name)];
  const list = (items: readonly (readonly number[])[]): number[] => [...unsigned(items.length), ...items.flat()];
  const section = (id: number, content: readonly number[]): number[] => [id, ...unsigned(content.length), ...content];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list(functions.map((one) => one.signature()))),
    ...section(2, list([[...text(""), ...text("memory"), 2, 0, 1]])),
    ...section(3, list(functions.map((_, i) => unsigned(i)))),
    ...section(7, list(functions.map(({ name }, i) => [...text(name), 0, ...unsigned(i)]))),
    ...section(10, list(functions.map((one) => one.body()))),
  ]);
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  for (; value < -64 || value > 63; value >>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value & 127];
}
