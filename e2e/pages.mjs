// Every page of the site, in every state a visitor can bring it to.
import { PASSWORD } from "./site.mjs";

const LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitaensmuetze".repeat(3);

/** As wide as anything an author can write. */
export const WIDE = {
  title: `${LONG_WORD} and more`,
  body: [
    `# ${LONG_WORD}`,
    `Some words, then ${LONG_WORD}, \`${LONG_WORD}\` and https://example.org/${LONG_WORD}.`,
    `> - a quoted list with ${LONG_WORD}`,
    "```\n" + "let much = too.wide().for_a_phone(); ".repeat(8) + "\n```",
    `| ${"column | ".repeat(12)}\n|${" --- |".repeat(12)}\n| ${"value | ".repeat(12)}`,
    "1. one\n2. two\n\n---\n\n**bold**, *soft*, ~~gone~~ and [a link](https://example.org/).",
  ].join("\n\n"),
};

/** The longest name there may be. */
export const WIDE_NAME = "w".repeat(32);

/** Puts two authors and their articles where the pages can show them. */
export async function furnish(site) {
  const token = await site.account(WIDE_NAME);
  const own = await site.article(token, WIDE.title, WIDE.body);
  const stranger = await site.account("stranger");
  const other = await site.article(stranger, "Something short", "By somebody else.");
  await site.settled();
  return { own, other };
}

/** The addresses of all pages; what a visitor may not see answers with a page too. */
export function addresses({ own, other }) {
  return [
    "/", `/articles/${own}`, `/articles/${other}`, "/articles/999999999", `/authors/${WIDE_NAME}`, "/authors/stranger",
    "/authors/nobody-of-that-name", "/search", "/search?q=", "/search?q=something", `/search?q=${"w".repeat(200)}`,
    `/search?q=${encodeURIComponent(WIDE.title)}`, "/sign-up", "/sign-in", "/status", "/write", `/articles/${own}/edit`,
    `/articles/${own}/delete`, `/articles/${other}/edit`, `/articles/${other}/delete`, "/no/such/page",
  ];
}

/** What a visitor sees after a mistake or a deed: a name for each, and how to get there. */
export const states = {
  "a sign-in that failed": async (page) => {
    await page.goto("/sign-in");
    await page.getByLabel("Name").fill("nobody-at-all");
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("main").getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").waitFor();
  },
  "a sign-up under a taken name": async (page) => {
    await page.goto("/sign-up");
    await page.getByLabel("Name").fill(WIDE_NAME);
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("main").getByRole("button", { name: "Sign up" }).click();
    await page.getByRole("alert").waitFor();
  },
};

/** The same for an author who is signed in. */
export const authorStates = {
  "an article that was just published": async (page) => {
    await page.goto("/write");
    await page.getByLabel("Title").fill("Just published");
    await page.getByLabel("Text").fill("And shown.");
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByRole("status").waitFor();
  },
  "a preview": async (page) => {
    await page.goto("/write");
    await page.getByLabel("Title").fill(WIDE.title);
    await page.getByLabel("Text").fill(WIDE.body);
    await page.getByRole("button", { name: "Preview" }).click();
    await page.getByRole("region", { name: "Preview" }).waitFor();
  },
  "a text that is not taken": async (page) => {
    await page.goto("/write");
    await page.getByLabel("Title").fill("Only blanks below");
    await page.getByLabel("Text").fill("  ");
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByRole("alert").waitFor();
  },
};
