// What a program with replicate-javascript does, with nothing changed but the base URL. Prints what came of it, as JSON.
const fs = require("node:fs");
const http = require("node:http");
const Replicate = require("replicate");

const model = "darkroom/pix2pix-full";
const { BASE_URL: baseUrl, PHOTO, HOOK_PORT } = process.env;
const image = fs.readFileSync(PHOTO);
const asked = (steps, more = {}) => ({ image, prompt: "make it sepia", num_inference_steps: steps, ...more });
const start = async (output) => Buffer.from(await (await output.blob()).arrayBuffer()).subarray(0, 4).toString("hex");

(async () => {
  const replicate = new Replicate({ baseUrl });
  const said = {};
  said.run = await start(await replicate.run(model, { input: asked(3) }));
  const seen = new Set();
  const wait = { mode: "block", timeout: 1 };
  const late = await replicate.run(model, { input: asked(70), wait }, ({ status }) => seen.add(status));
  said["run that outlasts its wait"] = [await start(late), [...seen].sort()];
  const polled = await replicate.run(model, { input: asked(3), wait: { mode: "poll", interval: 50 } });
  said["run by polling"] = await start(polled);

  said.stream = [];
  for await (const { event, id, data } of replicate.stream(model, { input: asked(40) }))
    said.stream.push([event, Boolean(id), String(data).slice(0, 5)]);

  const slow = await replicate.predictions.create({ model, input: asked(900) });
  await replicate.predictions.cancel(slow.id);
  said.canceled = (await replicate.wait(slow, { interval: 50 })).status;
  said.listed = [];
  for await (const page of replicate.paginate(replicate.predictions.list)) said.listed.push(...page.map(({ id }) => id));
  said.listed = said.listed.indexOf(slow.id);
  said.refused = await replicate.run(model, { input: asked(9999) }).catch(({ response }) => response.status);

  const kept = await replicate.files.create(image, { order: 7 });
  said.file = [kept.size, kept.metadata, (await replicate.files.get(kept.id)).id === kept.id];
  said["file listed"] = (await replicate.files.list()).results.some(({ id }) => id === kept.id);
  said["file deleted"] = await replicate.files.delete(kept.id);
  said.found = (await replicate.models.search("reference")).results.map(({ name }) => name);
  said.account = (await replicate.accounts.current()).username;

  const told = await new Promise((resolve) => {
    const server = http.createServer(async (request, response) => {
      let body = "";
      for await (const part of request) body += part;
      response.end();
      resolve({ headers: request.headers, body });
      server.close();
    });
    server.listen(Number(HOOK_PORT), "127.0.0.1", () =>
      replicate.predictions.create({ model, input: asked(2), webhook: `http://127.0.0.1:${HOOK_PORT}/told` }));
  });
  const { key } = await replicate.webhooks.default.secret.get();
  said.webhook = [JSON.parse(told.body).status, await Replicate.validateWebhook(told, key)];
  console.log(JSON.stringify(said));
})();
