import { Anchor, Button, Text, Title } from "@mantine/core";
import ownSize from "@docs/images/own-size.jpg";
import { useState } from "react";
import { Link } from "react-router";
import { useTitle } from "@/shared/title";
import classes from "./gallery.module.css";
import { EDITS, type Edit, editorLink, photoUrl, pictureUrl } from "./gallery";

export default function GalleryPage() {
  useTitle("Gallery");
  const made = EDITS[0]?.receipt;
  return (
    <div className={classes.page}>
      <Title order={1}>Gallery</Title>
      <Text className={classes.lead}>
        What the checkpoint that comes with Darkroom makes of the example photos, picked by nobody: one seed for all, {made && <>checkpoint {made.checkpoint}, revision {made.revision}</>}. Each opens in the
        editor as it was made.
      </Text>
      <ul className={classes.grid}>
        {EDITS.map((edit) => (
          <Card key={edit.name} edit={edit} />
        ))}
      </ul>
      <figure className={classes.closely}>
        <img src={ownSize} alt="Three crops at 100 %, each as the photo, as the model made it, and as the result" width={1080} height={1080} loading="lazy" />
        <figcaption>
          At 100 %: the photo, what the model made of a small copy, and the result at the photo’s own size; night, sepia,
          autumn.
        </figcaption>
      </figure>
    </div>
  );
}

function Card({ edit }: { edit: Edit }) {
  const [before, setBefore] = useState(false);
  const { prompt } = edit.params;
  const { width, height } = edit.output;
  return (
    <li className={classes.card}>
      <div className={classes.frame} data-before={before || undefined} style={{ aspectRatio: `${width} / ${height}` }}>
        <img src={pictureUrl(edit)} alt={`${nameOf(edit.photo)}: ${prompt}`} width={width} height={height} loading="lazy" />
        <img src={photoUrl(edit)} alt="" className={classes.photo} loading="lazy" />
        <Button size="compact-sm" className={classes.before} aria-pressed={before} onClick={() => setBefore(!before)}>
          {before ? "After" : "Before"}
          <span className={classes.hidden}>: {nameOf(edit.photo)}, {prompt}</span>
        </Button>
      </div>
      <Title order={2} className={classes.prompt}>
        {prompt}
      </Title>
      <Receipt edit={edit} />
      <Anchor component={Link} to={editorLink(edit)} size="sm" underline="always">
        Open in the editor<span className={classes.hidden}>: {nameOf(edit.photo)}, {prompt}</span>
      </Anchor>
    </li>
  );
}

function Receipt({ edit }: { edit: Edit }) {
  const { params, model } = edit;
  const settings = [
    model,
    `${params.steps} steps`,
    params.cfg_scale && `text CFG ${params.cfg_scale}`,
    params.image_cfg_scale && `image CFG ${params.image_cfg_scale}`,
    `seed ${params.seed}`,
  ];
  return <p className={classes.receipt}>{settings.filter(Boolean).join(" · ")}</p>;
}

const nameOf = (photo: string) => photo.replace(/\.\w+$/, "").replace(/^./, (letter) => letter.toUpperCase());
