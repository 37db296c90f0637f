import { Anchor, Text } from "@mantine/core";
import { IconRosetteDiscountCheck } from "@tabler/icons-react";
import { Link } from "react-router";
import type { Job } from "../jobs/job";
import classes from "./visualizer.module.css";

const SHOWN: [string, string][] = [
  ["seed", "Seed"],
  ["steps", "Steps"],
  ["temperature", "Temperature"],
  ["cfg_scale", "Text CFG"],
  ["image_cfg_scale", "Image CFG"],
  ["sampler", "Sampler"],
  ["size", "Size"],
  ["resolution", "Result"],
  ["strength", "Strength"],
  ["negative_prompt", "Stay away from"],
];

/** What it takes to make the same picture again, and why it may not be quite what was asked for. */
export function Receipt({ job }: { job: Job }) {
  const settings = SHOWN.flatMap(([name, label]) => (hasValue(job.params[name]) ? [[label, String(job.params[name])]] : []));
  const told = (name: string, words = "") => (job.receipt?.[name] ? [`${words}${job.receipt[name]}`] : []);
  const made = [...told("checkpoint"), ...told("revision", "revision "), ...told("torch", "torch "), ...told("dtype"), ...told("device")];
  return (
    <div className={classes.receipt}>
      {job.warnings.map(({ code, detail }) => (
        <Text key={`${code} ${detail}`} size="sm" role="note">
          {detail}
        </Text>
      ))}
      <dl>
        {settings.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {job.receipt?.signed_by ? (
        <Text size="xs" c="dimmed">
          <IconRosetteDiscountCheck size={14} aria-hidden className={classes.mark} /> The file says, signed by{" "}
          {String(job.receipt.signed_by)}, that a trained model edited it.{" "}
          <Anchor component={Link} to="/credentials" underline="always">
            Read a picture’s credentials
          </Anchor>
        </Text>
      ) : null}
      {made.length > 0 && (
        <Text size="xs" c="dimmed">
          Made with {made.join(" · ")}
        </Text>
      )}
    </div>
  );
}

const hasValue = (value: unknown) => value !== null && value !== undefined && value !== "";
