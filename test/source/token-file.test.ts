import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { authorize } from '../../src/admin/bearer.ts'
import { TokenFile } from '../../src/source/token-file.ts'

const TOKEN = 'c2VjcmV0LXRva2Vu'
const digestOf = (token: string): string => createHash('sha256').update(token).digest('hex')

suite('token file of the admin API', () => {
  let folder = ''
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headgate-token-'))
  })
  after(() => rm(folder, { recursive: true }))

  async function write(name: string, text: string, mode = 0o600): Promise<string> {
    const path = join(folder, name)
    await writeFile(path, text, { mode })
    await chmod(path, mode)
    return path
  }

  async function faultOf(path: string): Promise<string> {
    const tokens = await new TokenFile(path).read()
    assert.ok(!tokens.ok)
    return tokens.fault
  }

  test('every line is a token; comments and empty lines are not', async () => {
    const tokens = await new TokenFile(await write('two', `# newest\n${TOKEN}\r\n\nsecond-token==\n`)).read()
    assert.ok(tokens.ok)
    assert.deepEqual(
      tokens.digests.map((digest) => digest.toString('hex')),
      [TOKEN, 'second-token=='].map(digestOf),
    )
  })

  test('a file that cannot be used accepts nobody, and its content is never told', async () => {
    assert.match(await faultOf(join(folder, 'missing')), /does not exist.*no change/)
    assert.match(await faultOf(folder), /is a folder/)
    assert.match(await faultOf(await write('empty', '')), /contains no token/)
    assert.match(await faultOf(await write('comment', '# none\n\n')), /contains no token/)
    for (const text of ['hunter2!secret words', 'short', 'x'.repeat(513), '"quoted-token"']) {
      const fault = await faultOf(await write('bad', text))
      assert.match(fault, /line 1/)
      assert.ok(!fault.includes(text), text)
    }
    assert.match(await faultOf(await write('many', 'token-token\n'.repeat(17))), /more than 16/)
    assert.match(await faultOf(await write('large', 'x'.repeat(20_000))), /too large/)
    assert.match(await faultOf(await write('binary', 'token\0token')), /binary/)
    execFileSync('mkfifo', [join(folder, 'fifo')])
    assert.match(await faultOf(join(folder, 'fifo')), /is a FIFO/)
  })

  test('a file that others may read or replace accepts nobody until that is corrected', async () => {
    const path = await write('open', TOKEN)
    const file = new TokenFile(path)
    for (const mode of [0o644, 0o604, 0o620, 0o602, 0o666]) {
      await chmod(path, mode)
      const tokens = await file.read()
      assert.ok(!tokens.ok, mode.toString(8))
      assert.match(tokens.fault, /chmod 600/)
    }
    for (const mode of [0o400, 0o440, 0o600]) {
      await chmod(path, mode)
      assert.ok((await file.read()).ok, mode.toString(8))
    }
  })

  test('a rotation acts with the next request, in place, by rename and by a link of a mounted Secret', async () => {
    const path = await write('rotated', 'first-token')
    const file = new TokenFile(path)
    const accepts = async (token: string): Promise<boolean> =>
      (await authorize(file, ['Authorization', `Bearer ${token}`])).accepted
    assert.ok(await accepts('first-token'))
    // The same length and times: git calls such a file racily clean.
    await writeFile(path, 'other-token')
    assert.ok(await accepts('other-token'))
    assert.ok(!(await accepts('first-token')))
    await utimes(path, 1_000, 1_000)
    assert.ok(await accepts('other-token'))
    await rename(await write('next', 'third-token'), path)
    assert.ok(await accepts('third-token'))
    assert.ok(!(await accepts('other-token')))
    await symlink(await write('v4', 'fourth-token'), join(folder, 'link'))
    await rename(join(folder, 'link'), path)
    assert.ok(await accepts('fourth-token'))
    await rm(path)
    assert.ok(!(await accepts('fourth-token')))
  })
})

suite('bearer token of a change', () => {
  const tokens = {
    read: async () => ({
      ok: true as const,
      digests: ['one', 'two'].map((t) => createHash('sha256').update(t).digest()),
    }),
  }
  const reasonOf = async (headers: readonly string[]): Promise<string> => {
    const verdict = await authorize(tokens, headers)
    return verdict.accepted ? 'accepted' : `${verdict.status} ${verdict.reason}`
  }

  test('any of the tokens is accepted, whatever the case of the scheme', async () => {
    for (const value of ['Bearer one', 'bearer two', 'BEARER  one'])
      assert.equal(await reasonOf(['x', 'y', 'authorization', value]), 'accepted', value)
  })

  test('anything else is refused by name', async () => {
    assert.equal(await reasonOf([]), '401 TokenMissing')
    for (const value of [
      '',
      'one',
      'Basic one',
      'Bearer',
      'Bearer ',
      'Bearer one two',
      'Bearer one,two',
      'Bearer\tone',
    ])
      assert.equal(await reasonOf(['Authorization', value]), '401 TokenMissing', value)
    for (const value of ['Bearer three', 'Bearer on', 'Bearer ONE', `Bearer ${'x'.repeat(10_000)}`])
      assert.equal(await reasonOf(['Authorization', value]), '401 TokenWrong', value)
    const twice = ['Authorization', 'Bearer one', 'AUTHORIZATION', 'Bearer one']
    assert.equal(await reasonOf(twice), '400 SeveralCredentials')
    const off = await authorize(undefined, ['Authorization', 'Bearer one'])
    assert.ok(!off.accepted && off.status === 403 && off.reason === 'TokenNotConfigured')
    const unusable = { read: async () => ({ ok: false as const, fault: 'secret place' }) }
    const verdict = await authorize(unusable, ['Authorization', 'Bearer one'])
    assert.ok(!verdict.accepted && verdict.status === 503 && !JSON.stringify(verdict).includes('secret place'))
  })
})
