// A blog and a browser for the tests of one file: started before the first of them, ended after the last.
import { after, before } from "node:test";
import { launch } from "./browser.mjs";
import { Site } from "./site.mjs";

/**
 * Answers an object that holds `site` and `browser` once the tests run. `prepare` is given it before the first test;
 * `flags` are for the browser.
 */
export function setStage(prepare = () => {}, flags = []) {
  const stage = {};
  before(async () => {
    stage.site = await Site.start();
    stage.browser = await launch(flags);
    await prepare(stage);
  });
  after(async () => {
    await stage.browser?.close();
    await stage.site?.stop();
  });
  return stage;
}
