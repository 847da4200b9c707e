import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { claimFolder } from '../../src/store/folder-claim.ts'

const LOCK = 'some.lock'

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-claim-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

/** Whether another process gets it. */
function isFree(folder: string): boolean {
  const url = new URL('../../src/store/folder-claim.ts', import.meta.url).href
  const script = `import { claimFolder } from '${url}'; console.log(claimFolder(process.argv[1], '${LOCK}') !== undefined)`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script, folder])
  const said = stdout.toString().trim()
  assert.match(said, /^(true|false)$/, stderr.toString())
  return said === 'true'
}

suite('the claim of a folder', () => {
  test('keeps other processes out until it is released, also when this one asks for it once more', (t) => {
    const folder = newFolder(t)
    const claim = claimFolder(folder, LOCK)!
    assert.equal(isFree(folder), false)
    assert.equal(claimFolder(folder, LOCK), undefined)
    assert.equal(isFree(folder), false)
    claim.release()
    assert.equal(isFree(folder), true)
    assert.equal(statSync(join(folder, LOCK)).mode & 0o777, 0o600)
  })

  test('is not made of what a link leads to', (t) => {
    const folder = newFolder(t)
    symlinkSync(join(folder, 'elsewhere'), join(folder, LOCK))
    assert.ok(claimFolder(folder, LOCK))
    assert.equal(statSync(join(folder, 'elsewhere'), { throwIfNoEntry: false }), undefined)
  })
})
