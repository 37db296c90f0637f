const LONG =
  "Please do look at this photo for a moment, the way somebody would who was there on that evening and remembers it well, and change it so that it looks as if the sun were just about to go down behind the hills, ";

/** What people type: what the checkpoint can do and what it cannot, in two languages, with an emoji, and at length. */
export const SENTENCES = [
  "make it sunset",
  "make it look like night",
  "turn it into a pencil sketch",
  "Could you make this look like winter please?",
  "sepia",
  "MAKE IT BLUE!!!",
  "a bit warmer, and blur the picture",
  "black & white",
  "make it vintage with a frame",
  "pixelate",
  "more contrast",
  "put fog over everything",
  "remove the people in the background",
  "add a hat to the dog",
  "replace the sky with a dragon",
  "make him smile",
  "turn the building into a castle made of chocolate",
  "zoom out",
  "do nothing",
  "mach ein Winterbild daraus",
  "lass es wie Nacht aussehen",
  "make it 🌅",
  "<b>bold</b> & \"quotes\" — 'single' \\ back",
  LONG.repeat(4).trim() + " with warm light on the walls of all the houses, and a kite in the sky.",
];
