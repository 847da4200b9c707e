import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { keptSessionSeed } from '../../src/store/session-seed.ts'

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'headgate-seed-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}

describe('the seed of session tokens in a state directory', () => {
  it('is made once, readable for its owner alone, and stays', (t) => {
    const state = join(folder(t), 'new', 'state')
    const seed = keptSessionSeed(state)
    assert.match(seed, /^[0-9a-f]{64}$/)
    assert.equal(keptSessionSeed(state), seed)
    assert.deepEqual(readdirSync(state), ['session-seed'])
    assert.equal(statSync(join(state, 'session-seed')).mode & 0o777, 0o600)
    assert.notEqual(keptSessionSeed(folder(t)), seed)
  })

  it('is made anew where what is there is none', (t) => {
    for (const content of ['', 'short', 'z'.repeat(64), 'a'.repeat(65), 'a'.repeat(1_000_000)]) {
      const state = folder(t)
      writeFileSync(join(state, 'session-seed'), content)
      const seed = keptSessionSeed(state)
      assert.notEqual(seed, content)
      assert.equal(keptSessionSeed(state), seed)
    }
  })

  it('is neither read nor written through a link', (t) => {
    const state = folder(t)
    const elsewhere = join(folder(t), 'passwords')
    writeFileSync(elsewhere, 'a'.repeat(64))
    symlinkSync(elsewhere, join(state, 'session-seed'))
    assert.throws(() => keptSessionSeed(state), { code: 'ELOOP' })
    assert.equal(readFileSync(elsewhere, 'utf8'), 'a'.repeat(64))
  })

  it('cannot be kept where there is a file instead of the directory', (t) => {
    const path = join(folder(t), 'file')
    writeFileSync(path, '')
    assert.throws(() => keptSessionSeed(path), { code: 'EEXIST' })
  })
})
