import { Button, PasswordInput } from "@mantine/core";
import { useState } from "react";
import { useSignIn } from "@/shared/api/session";

/** A key, traded for a session. */
export default function SignIn() {
  const signIn = useSignIn();
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    await signIn(key.trim()).catch((error: Error) => setProblem(error.message));
    setBusy(false);
  };
  return (
    <form onSubmit={submit} aria-label="Sign in">
      <PasswordInput
        label="API key"
        placeholder="dk_…"
        autoComplete="current-password"
        required
        withAsterisk={false}
        value={key}
        error={problem}
        aria-invalid={problem !== null}
        onChange={(event) => setKey(event.currentTarget.value)}
      />
      <Button type="submit" mt="md" fullWidth loading={busy} disabled={!key.trim()}>
        Sign in
      </Button>
    </form>
  );
}
