import { Button, type ButtonProps } from "@mantine/core";
import { useRef } from "react";
import { ACCEPTED, fileOf } from "./photos";

type Props = ButtonProps & { take: (file: File | null) => void; icon?: React.ReactNode; label: string; camera?: boolean };

/** A button that asks the system for a photo, or for its camera. */
export function FileButton({ take, icon, label, camera = false, ...button }: Props) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button size="md" leftSection={icon} {...button} onClick={() => input.current?.click()}>
        {label}
      </Button>
      <input
        ref={input}
        type="file"
        hidden
        accept={ACCEPTED.join(",")}
        capture={camera ? "environment" : undefined}
        aria-label={label}
        onChange={(event) => {
          take(fileOf(event.currentTarget));
          event.currentTarget.value = ""; // the same file may be chosen again
        }}
      />
    </>
  );
}
