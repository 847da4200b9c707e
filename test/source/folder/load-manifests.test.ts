/** What the command line reads is what a gateway reads, and it says so in the same words. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { describe, it, type TestContext } from 'node:test'
import type { FileBounds } from '../../../src/source/folder/bounds.ts'
import { DEFAULTS, FolderSource } from '../../../src/source/folder/folder-source.ts'
import { loadManifests } from '../../../src/source/folder/load-manifests.ts'
import type { SourceProblem } from '../../../src/source/source.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { TemporaryFolder } from './temporary-folder.ts'

const secret = (name: string, bytes: number): string =>
  `apiVersion: v1\nkind: Secret\nmetadata: { name: ${name}, namespace: a }\nstringData: { a: ${'x'.repeat(bytes)} }\n`

/** What a gateway has to say of the folder at its start. */
async function ofGateway(t: TestContext, path: string, bounds: FileBounds): Promise<readonly SourceProblem[]> {
  const source = new FolderSource(path, systemTimers, bounds)
  t.after(() => source.stop())
  let problems: readonly SourceProblem[] = []
  await new Promise<void>((resolve) =>
    source.start({
      changed: () => {},
      synced: resolve,
      problems: (list) => {
        problems = list
      },
    }),
  )
  return problems
}

describe('manifests that are read once', () => {
  const cases: readonly (readonly [string, Partial<FileBounds>, RegExp])[] = [
    ['a file', { maxFileBytes: 10_000 }, /^The file /],
    ['all files', { maxBytes: 25_000 }, /^All files together exceed the limit of 25 KiB; /],
    [
      'what they take',
      { maxHeldBytes: 50_000 },
      /^What is in the file takes about \d+ KiB of memory, and the other files leave \d+ KiB; /,
    ],
  ]
  for (const [name, part, message] of cases)
    it(`are judged by the bounds of the gateway: ${name}`, async (t) => {
      const folder = new TemporaryFolder()
      t.after(() => rmSync(folder.path, { recursive: true, force: true }))
      await folder.write('1.yaml', secret('one', 1_000))
      await folder.write('2.yaml', secret('two', 20_000))
      await folder.write('3.yaml', secret('three', 5_000))
      const bounds = { ...DEFAULTS, ...part }
      const expected = await ofGateway(t, folder.path, bounds)
      assert.ok(expected.length > 0)
      assert.ok(
        expected.every(({ reason }) => reason === 'TooLarge'),
        JSON.stringify(expected),
      )
      assert.match(expected[0]!.message, message)
      const loaded = await loadManifests([folder.path], systemTimers, bounds)
      assert.deepEqual(loaded.problems, expected)
      assert.equal(loaded.objects.length, 3 - expected.length)
    })
})
