import { Button, Container, PasswordInput, Text, Title } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { useSession, useSignIn } from "@/shared/api/session";

/** What is behind it needs a key where the service asks for keys; it is shown at once, until the service says so. */
export function Gate({ children }: { children: ReactNode }) {
  return useSession() === null ? <SignIn /> : children;
}

function SignIn() {
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
    <Container size={420} py="14vh" w="100%">
      <form onSubmit={submit} aria-label="Sign in">
        <Title order={1}>Come in</Title>
        <Text c="dimmed" mt="xs" mb="lg">
          This Darkroom asks for a key. It is traded for a session in this browser, and kept nowhere else.
        </Text>
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
    </Container>
  );
}
