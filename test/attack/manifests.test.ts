/** A tenant who may write files in a shared folder, and wants nobody else's changes to come into force. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { eventually, type Gateway, manifest, route, startGateway, suiteScope } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname
const victim = (body: string) => route('victim/a', ['v.example'], [{ name: 'a', respond: { statusCode: 200, body } }])
const many = (count: number, piece: (i: number) => string) => Array.from({ length: count }, (_, i) => piece(i)).join('')
const evil = (spec: string) =>
  `{"apiVersion":"headgate.dev/v1alpha1","kind":"Route","metadata":{"name":"x","namespace":"evil"},"spec":${spec}}\n`

const BOMBS: readonly (readonly [what: string, file: string, text: string])[] = [
  ['keys that a parser compares pair by pair', 'evil.yaml', many(20_000, (i) => `k${i}: 1\n`)],
  ['anchors and aliases', 'evil.yaml', many(4_000, (i) => `- &a${i} x\n`) + many(4_000, (i) => `- *a${i}\n`)],
  [
    'aliases that multiply',
    'evil.yaml',
    many(20, (i) => `a${i}: &a${i} [${many(9, () => (i === 0 ? 'x,' : `*a${i - 1},`))}]\n`),
  ],
  ['a list of 1.6 MB', 'evil.yaml', `a:\n${'- x\n'.repeat(400_000)}`],
  ['merge keys', 'evil.yaml', `a: &a {b: 1}\nc:\n${'- {<<: *a}\n'.repeat(5_000)}`],
  ['brackets in brackets', 'evil.json', '['.repeat(4_000_000)],
  ['members without number', 'evil.json', evil(`{${many(400_000, (i) => `${i === 0 ? '' : ','}"k${i}":1`)}}`)],
  ['unknown fields, each with a place to be found', 'evil.yaml', evil(`{${many(8_000, (i) => `"k${i}":1,`)}"z":1}`)],
  ['a file of 50 MB', 'evil.yaml', 'a'.repeat(50 * 1024 * 1024)],
  ['NUL bytes', 'evil.yaml', 'kind: Route\0\n'],
  ['keys of prototypes', 'evil.yaml', '__proto__: {kind: Route}\nconstructor: {prototype: {kind: Route}}\n'],
  ['anchors of another document', 'evil.yaml', 'a: &a 1\n---\nb: *a\n'],
]

describe('a tenant who writes files', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let version = 0

  before(async () => {
    gateway = await startGateway(scope, { 'victim.yaml': victim('v0') })
  })

  const problems = async () =>
    (await request(gateway.adminPort, { host: 'localhost', path: '/api/v1/problems?limit=1000' })).json().items as {
      file: string
      message: string
    }[]

  /** The victim changes its Route; milliseconds until that acts. */
  async function changeActs(within = 3_000): Promise<number> {
    const body = `v${++version}`
    const begun = performance.now()
    await gateway.write('victim.yaml', victim(body))
    await eventually(async () => assert.equal((await gateway.request({ host: 'v.example' })).text, body), within)
    return performance.now() - begun
  }

  for (const [what, file, text] of BOMBS)
    it(`holds nobody up with ${what}`, async () => {
      await gateway.write(file, text)
      await eventually(() => assert.match(gateway.processLog.join('\n'), new RegExp(`${file}:`)))
      await changeActs()
      await gateway.remove(file)
      await eventually(() => assert.match(gateway.processLog.at(-1)!, /every problem .* is solved/))
    })

  it('has not ended the control thread with any of them, and polluted no prototype', () => {
    assert.doesNotMatch(gateway.processLog.join('\n'), /stopped responding|restarting it/)
    assert.equal((Object.prototype as Record<string, unknown>).kind, undefined)
  })

  it('reads neither devices nor FIFOs, and follows no link to a folder around the root', async () => {
    const wide = await mkdtemp(join(tmpdir(), 'headgate-wide-'))
    scope.after(() => rm(wide, { recursive: true, force: true }))
    for (let i = 0; i < 800; i++) await mkdir(join(wide, `d${i}`))
    execFileSync('mkfifo', [join(gateway.folder, 'fifo.yaml')])
    for (const [target, name] of [
      ['/dev/zero', 'zero.yaml'],
      ['/proc/self/environ', 'environ.yaml'],
      ['self.yaml', 'self.yaml'],
      ['.', 'loop'],
      [tmpdir(), 'around'],
      [wide, 'wide'],
    ] as const)
      await symlink(target, join(gateway.folder, name))
    await eventually(async () => {
      const messages = (await problems()).map(({ file, message }) => `${file} ${message}`)
      assert.ok(
        messages.some((text) => /around .*contains the folder that is read; it is not followed/.test(text)),
        messages.join('\n'),
      )
      assert.ok(
        messages.some((text) => /wide.* more than 5000 folders, or 500 behind/.test(text)),
        messages.join('\n'),
      )
    })
    await changeActs(5_000)
    // The walk behind the links is bounded, so what follows is quick again.
    await changeActs()
    const watches = execFileSync('sh', [
      '-c',
      `cat /proc/${gateway.process.pid}/fdinfo/* 2>/dev/null | grep -c inotify || true`,
    ])
    assert.ok(Number(watches) < 1_000, `${watches} watches`)
    for (const name of ['around', 'wide', 'loop', 'self.yaml', 'zero.yaml', 'environ.yaml', 'fifo.yaml'])
      await gateway.remove(name)
  })

  it('writes nothing but one line of JSON into the log, whatever a file or a field is called', async () => {
    const name = 'a\u001b[2J\n{"level":"forged"}.yaml'
    await writeFile(
      join(gateway.folder, name),
      'kind: "X\\u001b[2J\\n\\u202e"\napiVersion: v1\nmetadata: {name: "\\u001b]0;x\\u0007"}\n',
    )
    await mkdir(join(gateway.folder, 'd'))
    const field = JSON.stringify('\u001b[31m\n'.repeat(10_000))
    await gateway.write('d/evil.json', evil(`{"rules":[],${field}:1}`))
    await eventually(() => assert.match(gateway.processLog.join('\n'), /no such field here/))
    for (const line of gateway.processLog) {
      assert.doesNotMatch(line, /[\x00-\x1f\x7f]/)
      assert.notEqual((JSON.parse(line) as { level: string }).level, 'forged')
      assert.ok(line.length < 5_000, `a line of ${line.length} characters`)
    }
    const { status, stdout } = spawnSync(process.execPath, [MAIN, 'validate', gateway.folder], { encoding: 'latin1' })
    assert.equal(status, 1)
    assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f\x7f]/)
    assert.doesNotMatch(stdout, /^\{"level":"forged"/m)
  })

  it('makes itself older than nobody with a creation time of its own', async () => {
    const stolen = { rules: [{ name: 'a', respond: { statusCode: 200, body: 'stolen' } }], hostnames: ['v.example'] }
    const backdated = JSON.parse(manifest('Route', 'zz-evil/a', stolen).split('\n')[0]!) as { metadata: object }
    backdated.metadata = { ...backdated.metadata, creationTimestamp: '1970-01-01T00:00:00Z' }
    await gateway.write('zz.json', JSON.stringify(backdated))
    await eventually(() =>
      assert.match(gateway.processLog.join('\n'), /zz-evil\/a.*HostnameNotAllowed|zz-evil\/a.*belongs to/),
    )
    assert.notEqual((await gateway.request({ host: 'v.example' })).text, 'stolen')
    await changeActs()
  })

  it('keeps no change of others waiting by writing without end', async () => {
    let stop = false
    const writing = (async () => {
      for (let i = 0; !stop; i++) {
        const rules = [{ name: 'a', respond: { statusCode: 200, body: `${i}` } }]
        const text = many(200, (n) => route(`evil/r${n}`, [`h${n}.evil.example`], rules))
        await writeFile(join(gateway.folder, 'busy.yaml'), text)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    })()
    try {
      for (let i = 0; i < 4; i++) await changeActs(15_000)
    } finally {
      stop = true
      await writing
    }
  })
})
