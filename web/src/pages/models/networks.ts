import data from "./networks.json";

/** A module of a network as the code builds it; `web/networks.py` writes them. */
export type Module = {
  name: string;
  kind: string;
  note?: string;
  parameters?: number;
  /** What comes out of it, the batch left out. */
  shape?: number[];
  parts?: Module[];
};

/** The models as the catalogue has them. */
export const MODELS = data.models;
export type Model = (typeof MODELS)[number];

export const SIZES = Object.keys(data.sizes) as Size[];
export type Size = keyof typeof data.sizes;
export type Part = keyof (typeof data.sizes)[Size];

export const SIDE = data.side;

export function network(size: Size, part: Part): Module {
  return data.sizes[size][part];
}

/** What is worth a line: lists and sequences of modules are passed over, their members named after them. */
export function members(module: Module): Module[] {
  return (module.parts ?? []).flatMap((part) => (CONTAINERS.has(part.kind) ? members(part).map((one) => named(part, one)) : part));
}

const CONTAINERS = new Set(["ModuleList", "Sequential"]);

const named = (list: Module, one: Module): Module => ({ ...one, name: `${list.name}.${one.name}` });

/** 4 248 676 as 4.25 M. */
export function counted(parameters: number): string {
  const [size, unit] = parameters >= 1e6 ? [1e6, " M"] : parameters >= 1e3 ? [1e3, " k"] : [1, ""];
  const value = parameters / size;
  return `${size === 1 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)}${unit}`;
}

export const shaped = (shape: number[]): string => shape.join(" × ");
