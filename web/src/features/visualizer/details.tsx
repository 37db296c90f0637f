import { Anchor, Button, CopyButton, SegmentedControl, Text } from "@mantine/core";
import { IconRosetteDiscountCheck } from "@tabler/icons-react";
import { useState } from "react";
import { Link } from "react-router";
import type { Job } from "@/entities/job/job";
import { asCode } from "./as-code";
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
  ["n", "Variations"],
  ["strength", "Strength"],
  ["negative_prompt", "Stay away from"],
];

/** What it takes to make the same picture again, here or by a program; folded, because most never ask. */
export function Details({ job }: { job: Job }) {
  return (
    <>
      <details className={classes.details}>
        <summary>Details of this edit</summary>
        <Receipt job={job} />
      </details>
      {job.renders.length > 0 && <Renders job={job} />}
      {job.output && (
        <details className={classes.details}>
          <summary>This edit as a command</summary>
          <Commands job={job} />
        </details>
      )}
    </>
  );
}

/** Other strengths that were made of it, kept as long as it is. */
function Renders({ job }: { job: Job }) {
  return (
    <details className={classes.details}>
      <summary>Other strengths of it</summary>
      <ul className={classes.renders}>
        {job.renders.map((render) => (
          <li key={render.path}>
            <Anchor href={`${render.path}?proxy=1`} download underline="always">
              {job.outputs.length > 1 && `Variation ${render.output + 1}, `}
              {Math.round(render.strength * 100)} %, {render.content_type.split("/")[1]?.toUpperCase()}
            </Anchor>
          </li>
        ))}
      </ul>
    </details>
  );
}

function Receipt({ job }: { job: Job }) {
  const settings = SHOWN.flatMap(([name, label]) => (hasValue(job.params[name]) ? [[label, String(job.params[name])]] : []));
  const told = (name: string, words = "") => (job.receipt?.[name] ? [`${words}${job.receipt[name]}`] : []);
  const made = [...told("checkpoint"), ...told("revision", "revision "), ...told("torch", "torch "), ...told("dtype"), ...told("device")];
  return (
    <div className={classes.receipt}>
      <dl>
        {[["Model", job.model], ...settings].map(([label, value]) => (
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
      {job.expires_at && (
        <Text size="xs" c="dimmed">
          Kept until {new Date(job.expires_at).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}
        </Text>
      )}
    </div>
  );
}

function Commands({ job }: { job: Job }) {
  const commands = asCode(job, window.location.origin);
  const [label, setLabel] = useState("curl");
  const text = commands.find((one) => one.label === label)?.text ?? "";
  return (
    <div className={classes.receipt}>
      <SegmentedControl size="xs" data={commands.map((one) => one.label)} value={label} onChange={setLabel} aria-label="In which language" />
      <pre tabIndex={0} className={classes.command}>
        {text}
      </pre>
      <CopyButton value={text}>
        {({ copied, copy }) => (
          <Button variant="default" size="compact-sm" onClick={copy}>
            {copied ? "Copied" : "Copy the command"}
          </Button>
        )}
      </CopyButton>
    </div>
  );
}

const hasValue = (value: unknown) => value !== null && value !== undefined && value !== "";
