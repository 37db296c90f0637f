// What users of OpenAI's client for JavaScript do; prints what came of it, as JSON.
const fs = require("fs");
const { OpenAI } = require("openai");

async function main() {
  const client = new OpenAI();
  const photo = () => fs.createReadStream(process.env.PHOTO);
  const edit = await client.images.edit({ image: photo(), prompt: "make it sepia", num_inference_steps: 2 });
  const events = [];
  const stream = await client.images.edit({ image: photo(), prompt: "make it sepia", stream: true, partial_images: 2 });
  for await (const event of stream) events.push(event.type);
  let refused = null;
  try {
    await client.images.edit({ image: photo(), prompt: "make it sepia", size: "huge" });
  } catch (error) {
    refused = { class: error.constructor.name, param: error.param, status: error.status };
  }
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  const kept = await client.files.create({ file: photo(), purpose: "vision" });
  const file = await client.files.retrieve(kept.id);
  const said = { edit: edit.data[0].b64_json, events, refused, models, file: [file.filename.replace(/^.*\./, "photo."), file.purpose] };
  console.log(JSON.stringify(said));
}

main();
