import { Button, type ButtonProps, FileButton as Chooser } from "@mantine/core";
import { useRef } from "react";
import { ACCEPTED } from "./photos";

type Props = ButtonProps & { take: (files: File[]) => void; icon?: React.ReactNode; label: string; camera?: boolean; several?: boolean };

/** A button that asks the system for photos, or for its camera. */
export function FileButton({ take, icon, label, camera = false, several = false, ...button }: Props) {
  const reset = useRef<() => void>(null); // the same file may be chosen again
  const chosen = (files: File[]) => {
    take(files);
    reset.current?.();
  };
  return (
    <Chooser multiple onChange={chosen} accept={ACCEPTED.join(",")} resetRef={reset} inputProps={{ "aria-label": label, multiple: several, capture: camera ? "environment" : undefined }}>
      {(props) => (
        <Button size="md" leftSection={icon} {...button} {...props}>
          {label}
        </Button>
      )}
    </Chooser>
  );
}
