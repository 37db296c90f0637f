/** The noise schedule of Stable Diffusion, as `pipeline/schedule.py` has it; `docs/math.md` derives it. */

export const TRAINING_STEPS = 1000;
const [FIRST, LAST] = [0.00085, 0.012];

/** a_t: how much of the latents' variance at training step t is still the picture's. */
export const ALPHAS: readonly number[] = Array.from({ length: TRAINING_STEPS }).reduce<number[]>((before, _, t) => {
  const root = Math.sqrt(FIRST) + (t / (TRAINING_STEPS - 1)) * (Math.sqrt(LAST) - Math.sqrt(FIRST));
  before.push((before.at(-1) ?? 1) * (1 - root * root));
  return before;
}, []);

/** a_t between training steps, by the ratio of noise to signal, which is 0 one step before the first. */
export function alphaAt(t: number): number {
  const ratio = (step: number) => (step < 0 ? 0 : Math.sqrt((1 - at(step)) / at(step)));
  const low = Math.floor(t);
  return 1 / (1 + (ratio(low) + (t - low) * (ratio(low + 1) - ratio(low))) ** 2);
}

const at = (step: number) => ALPHAS[Math.min(step, TRAINING_STEPS - 1)] as number;

/** The training steps that an edit visits, the noisiest first (`trailing` spacing). */
export function levels(steps: number, temperature: number): number[] {
  const first = Math.round((TRAINING_STEPS - 1) * temperature);
  return Array.from({ length: steps }, (_, i) => Math.max(0, (first + 1) * (1 - i / steps) - 1));
}
