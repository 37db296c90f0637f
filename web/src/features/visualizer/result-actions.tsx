import { Button, Group, Menu } from "@mantine/core";
import { IconAdjustments, IconArrowRight, IconCopy, IconDots, IconDownload, IconLink, IconTrash, IconVersions } from "@tabler/icons-react";
import { fileName, isOver, type Job, outputUrl } from "@/entities/job/job";
import { useJobActions } from "@/entities/job/queries";
import { ApiError } from "@/shared/api/client";
import { complain, notify } from "@/shared/notices";
import { canCopy, copyPicture, fetchPicture, saveAs, useRender } from "./picture";

export type StageActions = {
  onReuse: (id: string) => void;
  onGoOn: (job: Job, place: number) => void;
  onVary: (job: Job) => void;
  onOpen: (id: string) => void;
  onGone: () => void;
};

type Props = { job: Job; place: number; strength: number } & StageActions;

/** What can be done with a result, in the strength that is chosen: the service makes another than its own when it is wanted. */
export function ResultActions({ job, place, strength, ...actions }: Props) {
  const render = useRender(job, place);
  const isOther = strength !== Number(job.params.strength ?? 1);
  const percent = Math.round(strength * 100);
  const name = fileName(job, ...(job.outputs.length > 1 ? [`no-${place + 1}`] : []), ...(isOther ? [`${percent}-percent`] : []));
  const wanted = async () => fetchPicture(isOther ? `${(await render.mutateAsync(strength)).path}?proxy=1` : outputUrl(job, place));
  const download = (event: React.MouseEvent) => {
    event.preventDefault();
    wanted().then((picture) => saveAs(picture, name), failed("It could not be downloaded:"));
  };
  const copy = () => copyPicture(wanted()).then(tell("The picture is copied."), failed("It could not be copied:"));
  return (
    <Group gap="xs">
      <Button component="a" href={outputUrl(job, place)} download={name} onClick={download} loading={render.isPending} leftSection={<IconDownload size={16} />}>
        Download{isOther && ` at ${percent} %`}
      </Button>
      <Button variant="default" leftSection={<IconArrowRight size={16} />} onClick={() => actions.onGoOn(job, place)}>
        Go on from this
      </Button>
      {canCopy() && (
        <Button variant="default" leftSection={<IconCopy size={16} />} onClick={copy}>
          Copy
        </Button>
      )}
      <Button variant="default" leftSection={<IconLink size={16} />} onClick={shareLink}>
        Share
      </Button>
      <More job={job} {...actions} />
    </Group>
  );
}

const tell = (text: string) => () => void notify({ text, isError: false });

/** What the service refuses to render has been told already. */
const failed = (what: string) => (error: Error) => error instanceof ApiError || complain(what)(error);

/** The link to this page by whatever the device shares with, else in the clipboard. */
function shareLink(): void {
  const { href: url } = window.location;
  const shared = navigator.share ? navigator.share({ url, title: document.title }) : navigator.clipboard.writeText(url).then(tell("The link is copied."));
  shared.catch((error: Error) => error.name === "AbortError" || complain("It could not be shared:")(error));
}

/** What is seldom wanted of an edit. */
export function More({ job, onReuse, onVary, onGone }: { job: Job } & StageActions) {
  const { remove } = useJobActions();
  return (
    <Menu position="bottom-end" shadow="md" withinPortal>
      <Menu.Target>
        <Button variant="default" aria-label="More to do with this edit" px="sm">
          <IconDots size={17} />
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {job.output && (
          <Menu.Item leftSection={<IconVersions size={16} />} onClick={() => onVary(job)}>
            Four variations
          </Menu.Item>
        )}
        <Menu.Item leftSection={<IconAdjustments size={16} />} onClick={() => onReuse(job.id)}>
          Reuse its settings
        </Menu.Item>
        <Menu.Item
          leftSection={<IconTrash size={16} />}
          disabled={!isOver(job)}
          onClick={() => {
            remove(job.id);
            onGone();
          }}
        >
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
