import { Text } from "@mantine/core";
import type { CredentialsCheck } from "@/shared/api/client";
import classes from "./credentials.module.css";

/** What a check found: the verdict, what is wrong, and the picture's history from the newest account back. */
export function Report({ check, name }: { check: CredentialsCheck; name?: string }) {
  return (
    <section className={classes.report} aria-label={`What ${name ?? "the picture"} says`}>
      <Text fz="1.25rem">{check.sentence}</Text>
      {check.made_here && <Text>This Darkroom has made it{check.job ? `, in job ${check.job}` : ""}.</Text>}
      {check.problems.map(({ code, text }) => (
        <Text key={code + text} size="sm" c="dimmed">
          {text} ({code})
        </Text>
      ))}
      <ol className={classes.history}>
        {check.manifests.map((manifest, place) => (
          <li key={place}>
            <strong>{manifest.issuer || "Nobody"}</strong>, with {manifest.generator || "an unnamed program"}
            <ul>
              {manifest.actions.map(({ action, by_ai }, step) => (
                <li key={`${step} ${action}`}>
                  {WORDS[action] ?? action}
                  {by_ai && ", by a trained model"}
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ol>
    </section>
  );
}

const WORDS: Record<string, string> = {
  "c2pa.created": "Made",
  "c2pa.opened": "Opened",
  "c2pa.edited": "Edited",
  "c2pa.redacted": "Something private removed",
};
