import { Button, Group, Text, Title } from "@mantine/core";
import { IconAdjustments, IconArrowRight, IconDownload, IconPlayerStop, IconRefresh, IconTrash } from "@tabler/icons-react";
import { isActive, isOver, type Job, outputUrl, prompt, sentence } from "../jobs/job";
import { useTitle } from "@/shared/title";
import { useNow } from "../jobs/now";
import { useJob, useJobActions } from "../jobs/queries";
import { Developing } from "./developing";
import { Frame } from "./frame";
import { Print } from "./print";
import classes from "./visualizer.module.css";

export type StageActions = {
  onReuse: (id: string) => void;
  onGoOn: (job: Job) => void;
  onOpen: (id: string) => void;
  onGone: () => void;
  onMove: (direction: "less" | "more", job: Job) => void;
};

/** One job, large: live while it works, to be looked at from all sides when it is done. */
export default function JobStage({ id, ...actions }: { id: string } & StageActions) {
  const job = useJob(id);
  if (job === undefined) return <Frame ratio={1} />;
  if (job === null) return <Gone onGone={actions.onGone} />;
  return (
    <article className={classes.stage} aria-label={`Edit: ${prompt(job)}`} data-status={job.status}>
      <Heading job={job} />
      {job.status === "succeeded" ? <Print key={job.id} job={job} onMove={actions.onMove} /> : <Developing key={job.id} job={job} />}
      <Actions job={job} {...actions} />
    </article>
  );
}

function Heading({ job }: { job: Job }) {
  const now = useNow(!isOver(job));
  useTitle(job.progress ? `${Math.round(job.progress.fraction * 100)} % · ${prompt(job)}` : prompt(job));
  return (
    <header className={classes.heading}>
      <Title order={1} className={classes.title}>
        {prompt(job)}
      </Title>
      <Text c="dimmed" size="sm" className={classes.status} role="status">
        {sentence(job, now)} <span aria-hidden>·</span> {job.model}
      </Text>
      {job.error && <Text size="sm">{job.error.detail}</Text>}
    </header>
  );
}

function Actions({ job, onReuse, onGoOn, onOpen, onGone }: { job: Job } & StageActions) {
  const { cancel, retry, remove } = useJobActions();
  if (isActive(job)) {
    return (
      <Group gap="xs">
        <Button variant="default" leftSection={<IconPlayerStop size={16} />} onClick={() => cancel.mutate(job.id)}>
          Cancel
        </Button>
        <Text size="xs" c="dimmed">
          It goes on without this page. Close it, come back later.
        </Text>
      </Group>
    );
  }
  const over = isOver(job);
  return (
    <Group gap="xs">
      {job.output && (
        <>
          <Button component="a" href={outputUrl(job)} download leftSection={<IconDownload size={16} />}>
            Download
          </Button>
          <Button variant="default" leftSection={<IconArrowRight size={16} />} onClick={() => onGoOn(job)}>
            Go on from this
          </Button>
        </>
      )}
      {over && !job.output && (
        <Button
          leftSection={<IconRefresh size={16} />}
          loading={retry.isPending}
          onClick={() => retry.mutate(job.id, { onSuccess: (again) => onOpen(again.id) })}
        >
          Try again
        </Button>
      )}
      <Button variant="default" leftSection={<IconAdjustments size={16} />} onClick={() => onReuse(job.id)}>
        Reuse its settings
      </Button>
      {over && (
        <Button
          variant="subtle"
          color="gray"
          leftSection={<IconTrash size={16} />}
          onClick={() => remove.mutate(job.id, { onSuccess: onGone })}
        >
          Delete
        </Button>
      )}
    </Group>
  );
}

function Gone({ onGone }: { onGone: () => void }) {
  return (
    <div className={classes.gone}>
      <Title order={1}>This edit is gone</Title>
      <Text c="dimmed">It was deleted, its time was over, or it never was. Edits are kept for a day.</Text>
      <Button onClick={onGone}>Begin another</Button>
    </div>
  );
}

