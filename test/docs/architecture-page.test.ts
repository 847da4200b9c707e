import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { LAYERS } from '../architecture/layers.ts'

const ROOT = new URL('../../', import.meta.url).pathname
const PAGE = readFileSync(`${ROOT}docs/architecture.md`, 'utf8')
const SOURCES = globSync('src/**/*.ts', { cwd: ROOT }).map((path) => path.replaceAll('\\', '/').slice('src/'.length))

describe('docs/architecture.md', () => {
  it('names files that exist', () => {
    const named = [...PAGE.matchAll(/`([\w/.-]+\.ts)`/g)].map(([, path]) => path!)
    assert.ok(named.length > 20, `only ${named.length} files are named`)
    for (const path of named)
      assert.ok(
        existsSync(`${ROOT}${path}`) || SOURCES.some((source) => source === path || source.endsWith(`/${path}`)),
        `${path} does not exist`,
      )
  })

  it('lists the layers that the judge enforces', () => {
    const rows = [...PAGE.matchAll(/^\| (\d+) \| ([^|]+) \|/gm)].map(([, , folders]) =>
      [...folders!.matchAll(/`([^`]+)`/g)].map(([, folder]) => folder!).sort(),
    )
    // A folder that nothing stands in yet has its layer, and no place on the page.
    const built = (folder: string): boolean =>
      folder.endsWith('.ts') || SOURCES.some((path) => path.startsWith(`${folder}/`))
    assert.deepEqual(
      rows.map((folders) => folders.filter(built)),
      LAYERS.map((folders) => folders.filter(built).sort()),
    )
  })

  it('lists every decision', () => {
    for (const path of globSync('docs/decisions/*.md', { cwd: ROOT }))
      assert.ok(PAGE.includes(`(${path.replaceAll('\\', '/').slice('docs/'.length)})`), `${path} is not on the page`)
  })
})
