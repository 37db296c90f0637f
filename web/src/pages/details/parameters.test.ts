import { expect, test } from "vitest";
import spec from "../../../openapi.json";
import { PARAMETERS } from "./parameters";

const OF_THE_REQUEST = ["image", "mask", "mask_invert", "model", "format", "priority", "deadline_seconds", "webhook", "webhook_events", "metadata"];

test("every parameter that the service has is explained, and no other", () => {
  const body = spec.paths["/v1/jobs"].post.requestBody.content["multipart/form-data"].schema.properties;
  const parameters = Object.keys(body).filter((name) => !OF_THE_REQUEST.includes(name));
  expect(PARAMETERS.map(({ name }) => name).sort()).toEqual(parameters.sort());
});
