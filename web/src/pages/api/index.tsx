import { Button, Group } from "@mantine/core";
import api from "@docs/api.md?raw";
import webhooks from "@docs/webhooks.md?raw";
import { sections } from "@/features/reading/markdown";
import { Prose } from "@/features/reading/prose";
import { Chapter, Reading } from "@/features/reading/reading";

const [lead, ...chapters] = sections(api);
const hooks = { id: "webhooks", title: "Webhooks", body: webhooks.replace(/^# .*\n/, "").replaceAll(/^## /gm, "### ") };
const all = [...chapters, hooks];

/** The examples as they run against the service that this page comes from. */
const here = (text: string) => text.replaceAll("http://127.0.0.1:8000", window.location.origin);

export default function ApiPage() {
  return (
    <Reading title={lead?.title ?? ""} lead={<Prose text={here(lead?.body ?? "")} />} places={all}>
      <Group gap="sm" mb="xl">
        <Button component="a" href="/docs" variant="filled">
          Try every operation
        </Button>
        <Button component="a" href="/openapi.json" variant="default">
          openapi.json
        </Button>
      </Group>
      {all.map(({ id, title, body }) => (
        <Chapter key={id} id={id} title={title}>
          <Prose text={here(body)} />
        </Chapter>
      ))}
    </Reading>
  );
}
