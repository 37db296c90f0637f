/** What moving a control does, by the name that the API gives it. */
export type Explained = { name: string; title: string; what: string; less?: string; more?: string };

export const PARAMETERS: Explained[] = [
  {
    name: "prompt",
    title: "Instruction",
    what: "What to change, said as an order: “make it sunset”, not “a sunset”. One thing at a time works best; go on from the result with the next.",
  },
  {
    name: "negative_prompt",
    title: "Stay away from",
    what: "What the picture should not drift towards: “blurry, dark”. It takes the place of the empty text that the instruction is compared with.",
  },
  {
    name: "steps",
    title: "Steps",
    what: "How often the network is asked. The time of an edit grows with it, its quality less and less.",
    less: "a quick sketch, some grain left",
    more: "finer detail, in proportion to the wait",
  },
  {
    name: "temperature",
    title: "Temperature",
    what: "How much noise an edit starts from. At 1 it starts from noise alone, while the photo still guides every step. Lower, it starts from your photo under noise and keeps more of its pixels. Below 0.4 most instructions barely show.",
    less: "keeps the photo's own pixels",
    more: "free to repaint everything",
  },
  {
    name: "cfg_scale",
    title: "Text CFG",
    what: "How hard the instruction pulls. It stretches the difference that the instruction makes to each prediction.",
    less: "the change stays faint",
    more: "the change is bold, and in the end garish",
  },
  {
    name: "image_cfg_scale",
    title: "Image CFG",
    what: "How hard the photo holds on. Above 3 pictures begin to speckle.",
    less: "the scene may drift",
    more: "the photo stays, the change may not come",
  },
  {
    name: "seed",
    title: "Seed",
    what: "Where the noise is drawn from. The same seed and settings give the same picture; leave it empty for another one each time.",
  },
  {
    name: "n",
    title: "Variations",
    what: "How many edits are made of the photo at once, each from noise of its own: the first from the seed, the others from the numbers after it.",
  },
  {
    name: "size",
    title: "Size",
    what: "What the model works at. Its own shape keeps the photo's proportions, at about 512 × 512 pixels in area. 512² and 256² squeeze the photo into a square; the small one takes a quarter of the time.",
  },
  {
    name: "resolution",
    title: "Result",
    what: "The photo's own size: the model edits a small copy, and the change of colors that it made is made to the whole photo, so that every detail stays. What colors cannot say, such as a border or a brush stroke, is enlarged. As the model made it: the small picture itself, the usual for 512² and 256².",
  },
  {
    name: "strength",
    title: "Strength",
    what: "How much of the finished edit is laid over the photo. It costs nothing, and changes nothing about the edit itself.",
    less: "the photo shines through",
    more: "the edit as the model made it",
  },
  {
    name: "sampler",
    title: "Sampler",
    what: "How the steps are taken. DDIM goes straight down the prediction; DPM++ 2M also looks at how the last one changed, and gets by with fewer steps.",
  },
  {
    name: "effort",
    title: "Effort",
    what: "Every step whole is the model as it is. Fewer steps whole: from 10 steps on every third, from 40 on every fifth; the others take their slow parts from the last whole one. Two to three times as fast, and nearly the same picture.",
  },
];
