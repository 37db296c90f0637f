import { Anchor, Badge, SegmentedControl, Tabs, Text, Title } from "@mantine/core";
import { useState } from "react";
import { Link } from "react-router";
import { Chapter, Reading } from "@/features/reading/reading";
import classes from "./models.module.css";
import { ModuleTree } from "./module-tree";
import { counted, MODELS, type Model, network, type Part, SIDE, SIZES, type Size } from "./networks";
import { PARTS, PURPOSES } from "./six";

const PLACES = [
  { id: "six", title: "Six models" },
  { id: "networks", title: "Three networks" },
];

export default function ModelsPage() {
  return (
    <Reading
      title="Six models, one checkpoint"
      lead="All six run on the same weights. They differ in whose code computes each network, in how the steps are taken, and in what guides them."
      places={PLACES}
    >
      <Chapter id="six" title="Six models">
        <Six />
      </Chapter>
      <Chapter id="networks" title="Three networks">
        <Text className={classes.text}>
          The text encoder reads the instruction once. The VAE turns the photo into latents and the finished latents into a
          picture. Between the two, the UNet runs once for every step and row. Open a module to see what it is made of; the
          shapes are those of a photo of {SIDE} × {SIDE} pixels, recorded while the code ran.
        </Text>
        <Networks />
      </Chapter>
    </Reading>
  );
}

function Six() {
  return (
    <ul className={classes.models}>
      {MODELS.map((model) => (
        <ModelCard key={model.id} model={model} />
      ))}
    </ul>
  );
}

function ModelCard({ model }: { model: Model }) {
  return (
    <li className={classes.model}>
      <Title order={3} className={classes.id}>
        {model.id}
      </Title>
      {model.default && (
        <Badge className={classes.badge} variant="light" size="sm">
          default
        </Badge>
      )}
      <Text size="sm">{PURPOSES[model.id] ?? model.summary}</Text>
      <dl className={classes.facts}>
        {PARTS.map(([part, name]) => (
          <div key={part}>
            <dt>{name}</dt>
            <dd data-ours={model.made_of[part] === "ours" || undefined}>{model.made_of[part] === "ours" ? "ours" : "library"}</dd>
          </div>
        ))}
        <div>
          <dt>Sampler</dt>
          <dd>{model.parameters.includes("sampler") ? `${model.sampler}, DPM-Solver++` : model.sampler}</dd>
        </div>
        <div>
          <dt>Guidance</dt>
          <dd>{model.guidance === "text" ? "text alone" : "text and picture"}</dd>
        </div>
      </dl>
      <Anchor component={Link} to={`/?model=${model.id}`} size="sm" underline="always">
        Edit with it
      </Anchor>
    </li>
  );
}

function Networks() {
  const [size, setSize] = useState<Size>("micro");
  return (
    <>
      <SegmentedControl
        aria-label="Size of the networks"
        value={size}
        onChange={(value) => setSize(value as Size)}
        data={SIZES.map((value) => ({ value, label: value === "micro" ? "Micro, as shipped" : "Stable Diffusion 1.5" }))}
      />
      <Tabs defaultValue="unet" keepMounted={false} mt="md">
        <Tabs.List>
          {PARTS.map(([part, name]) => (
            <Tabs.Tab key={part} value={part}>
              {name} <span className={classes.total}>{counted(network(size, part).parameters ?? 0)}</span>
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {PARTS.map(([part]) => (
          <Tabs.Panel key={part} value={part}>
            <Network size={size} part={part} />
          </Tabs.Panel>
        ))}
      </Tabs>
    </>
  );
}

function Network({ size, part }: { size: Size; part: Part }) {
  const whole = network(size, part);
  return (
    <div className={classes.network}>
      <Text size="sm" c="dimmed" className={classes.text}>
        {whole.note}
      </Text>
      <div className={classes.columns} aria-hidden>
        <span>module</span>
        <span>what comes out</span>
        <span>parameters</span>
      </div>
      <ModuleTree key={`${size} ${part}`} of={whole} />
    </div>
  );
}
