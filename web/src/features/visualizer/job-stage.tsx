import { Button, Group, Text, Title } from "@mantine/core";
import { IconPlayerStop, IconRefresh } from "@tabler/icons-react";
import { Chips } from "@/entities/draft/chips";
import { isActive, isOver, type Job, prompt, sentence, sizes } from "@/entities/job/job";
import { useNow } from "@/entities/job/now";
import { useIsPaused, useJob, useJobActions } from "@/entities/job/queries";
import { Frame } from "@/shared/pictures/frame";
import { useTitle } from "@/shared/title";
import { Chain } from "./chain";
import { Details } from "./details";
import { Developing } from "./developing";
import { Print } from "./print";
import { More, type StageActions } from "./result-actions";
import classes from "./visualizer.module.css";

/** One job, large: live while it works, to be looked at from all sides when it is done. */
export default function JobStage({ id, ...actions }: { id: string } & StageActions) {
  const job = useJob(id);
  if (job === undefined) return <Frame ratio={1} />;
  if (job === null) return <Gone onGone={actions.onGone} />;
  return (
    <article className={classes.stage} aria-label={`Edit: ${prompt(job)}`} data-status={job.status}>
      <Heading job={job} />
      <Warnings job={job} />
      {job.status === "succeeded" ? (
        <Print key={job.id} job={job} {...actions} />
      ) : (
        <>
          <Actions job={job} {...actions} />
          <Developing key={job.id} job={job} />
        </>
      )}
      <Details job={job} />
    </article>
  );
}

function Heading({ job }: { job: Job }) {
  const now = useNow(!isOver(job));
  const paused = useIsPaused(job.status === "queued");
  useTitle(job.progress ? `${Math.round(job.progress.fraction * 100)} % · ${prompt(job)}` : prompt(job));
  return (
    <header className={classes.heading}>
      {job.parent && <Chain id={job.parent} />}
      <Title order={1} className={classes.title}>
        {prompt(job)}
      </Title>
      <Text c="dimmed" size="sm" className={classes.status}>
        <span role="status">{sentence(job, now, paused)}</span> <span aria-hidden>·</span> {sizes(job)}
      </Text>
      {job.error && <Text size="sm">{job.error.detail}</Text>}
    </header>
  );
}

/** Why the result may not be quite what was asked for. */
function Warnings({ job }: { job: Job }) {
  return job.warnings.map(({ code, detail, nearest }) => (
    <div key={`${code} ${detail}`} className={classes.warning}>
      <Text size="sm" role="note">
        {detail}
      </Text>
      {Array.isArray(nearest) && <Chips label="Instructions that it can follow" texts={nearest} />}
    </div>
  ));
}

function Actions({ job, ...actions }: { job: Job } & StageActions) {
  const { cancel, retry } = useJobActions();
  if (isActive(job)) {
    return (
      <Group gap="xs">
        <Button variant="default" leftSection={<IconPlayerStop size={16} />} loading={cancel.isPending} onClick={() => cancel.mutate(job.id)}>
          Cancel
        </Button>
        <Text size="xs" c="dimmed">
          It goes on without this page. Close it, come back later.
        </Text>
      </Group>
    );
  }
  return (
    <Group gap="xs">
      {isOver(job) && (
        <Button
          leftSection={<IconRefresh size={16} />}
          loading={retry.isPending}
          onClick={() => retry.mutate(job.id, { onSuccess: (again) => actions.onOpen(again.id) })}
        >
          Try again
        </Button>
      )}
      <More job={job} {...actions} />
    </Group>
  );
}

function Gone({ onGone }: { onGone: () => void }) {
  return (
    <div className={classes.gone}>
      <Title order={1}>This edit is gone</Title>
      <Text c="dimmed">It was deleted, its time was over, or it never was.</Text>
      <Button onClick={onGone}>Begin another</Button>
    </div>
  );
}
