import { Anchor, Container, Text, Title } from "@mantine/core";
import { Link } from "react-router";

export default function AbsentPage() {
  return (
    <Container size="sm" py="20vh">
      <Title>Nothing developed here</Title>
      <Text c="dimmed" mt="md">
        There is no page at this address. <Anchor component={Link} to="/" underline="always">Back to the editor</Anchor>
      </Text>
    </Container>
  );
}
