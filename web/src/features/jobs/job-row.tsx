import { ActionIcon, Menu, Text } from "@mantine/core";
import { IconAdjustments, IconDots, IconDownload, IconPlayerStop, IconRefresh, IconTrash } from "@tabler/icons-react";
import { Link, useNavigate } from "react-router";
import { fileName, isActive, isOver, type Job, outputUrl, prompt, sentence, thumbnailUrl } from "@/entities/job/job";
import classes from "./jobs.module.css";
import { useIsPaused, useJob, useJobActions } from "@/entities/job/queries";
import { useNow } from "@/entities/job/now";

type Props = { id: string; current: boolean; onReuse: (id: string) => void };

/** One job of the list: what it is, how it is doing, and what can be done with it. */
export function JobRow({ id, current, onReuse }: Props) {
  const job = useJob(id);
  if (!job) return null;
  return (
    <div className={classes.row} data-current={current || undefined} data-status={job.status} data-job={id}>
      <Link to={`/jobs/${id}`} className={classes.open} aria-current={current ? "page" : undefined}>
        <img src={thumbnailUrl(job)} alt="" width={52} height={52} loading="lazy" decoding="async" className={classes.thumbnail} />
        <span className={classes.words}>
          <span className={classes.instruction}>{prompt(job)}</span>
          <Doing job={job} />
        </span>
      </Link>
      <Actions job={job} onReuse={onReuse} />
      {job.status === "running" && <Bar fraction={job.progress?.fraction ?? 0} />}
    </div>
  );
}

function Doing({ job }: { job: Job }) {
  const now = useNow(!isOver(job));
  const paused = useIsPaused(job.status === "queued");
  const at = new Date(job.created_at).toLocaleTimeString("en", { timeStyle: "short" });
  return (
    <Text component="span" size="xs" c="dimmed" className={classes.doing}>
      {sentence(job, now, paused)} {isOver(job) && <time dateTime={job.created_at}>· {at}</time>}
    </Text>
  );
}

function Bar({ fraction }: { fraction: number }) {
  return <span className={classes.bar} style={{ transform: `scaleX(${fraction})` }} aria-hidden />;
}

function Actions({ job, onReuse }: { job: Job; onReuse: (id: string) => void }) {
  const { cancel, retry, remove } = useJobActions();
  const navigate = useNavigate();
  const open = (again: Job) => navigate(`/jobs/${again.id}`);
  const name = prompt(job);
  if (isActive(job)) {
    return (
      <ActionIcon variant="subtle" color="gray" size="lg" onClick={() => cancel.mutate(job.id)} aria-label={`Cancel “${name}”`}>
        <IconPlayerStop size={17} stroke={1.6} />
      </ActionIcon>
    );
  }
  return (
    <Menu position="bottom-end" shadow="md" width={190} withinPortal>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`What to do with “${name}”`}>
          <IconDots size={17} stroke={1.6} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item leftSection={<IconAdjustments size={16} />} onClick={() => onReuse(job.id)}>
          Reuse its settings
        </Menu.Item>
        {job.output && (
          <Menu.Item leftSection={<IconDownload size={16} />} component="a" href={outputUrl(job)} download={fileName(job)}>
            Download
          </Menu.Item>
        )}
        {(job.status === "failed" || job.status === "canceled") && (
          <Menu.Item leftSection={<IconRefresh size={16} />} onClick={() => retry.mutate(job.id, { onSuccess: open })}>
            Try again
          </Menu.Item>
        )}
        <Menu.Divider />
        <Menu.Item leftSection={<IconTrash size={16} />} disabled={!isOver(job)} onClick={() => remove(job.id)}>
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
