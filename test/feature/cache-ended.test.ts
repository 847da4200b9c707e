/** A rule that has no cache for a while: what clients change meanwhile is not served from before, and what ends is told. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { httpBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'

const HOST = 'shop.example'
const CACHE = { mode: 'Override', defaultTTL: '1h' }

describe('a cache that is taken away and comes again', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let version = 1
  let port = 0

  before(async () => {
    const origin = await httpBackend(scope, (request, response) => {
      if (request.method === 'POST') version++
      response.end(`version ${version}`)
    })
    port = origin.port
    gateway = await startGateway(scope, { 'a.yaml': manifests(CACHE), 'b.yaml': beside(0) }, { workers: 2 })
  })

  const rule = (name: string, cache?: object) => ({
    ...{ name, matches: [{ path: { value: `/${name}` } }], backendRefs: [{ name: 'origin' }] },
    ...(cache !== undefined && { policies: { cache } }),
  })
  const manifests = (cache?: object) =>
    backend('origin', [port]) + route('web', [HOST], [rule('a', cache), rule('b', CACHE)])
  /** By its answer one knows that an edit has come to each worker: another file, which is read with the first one. */
  const beside = (edit: number) =>
    route('edit', ['edit.example'], [{ name: 'edit', respond: { statusCode: 200, body: `edit ${edit}` } }])

  let edits = 0
  async function edit(yaml: string | undefined): Promise<void> {
    await (yaml === undefined ? gateway.remove('a.yaml') : gateway.write('a.yaml', yaml))
    await gateway.write('b.yaml', beside(++edits))
    await eventually(async () => {
      for (let i = 0; i < 8; i++) assert.equal((await ask('/', 'edit.example')).text, `edit ${edits}`)
    })
  }

  const ask = (path: string, host = HOST, method = 'GET') =>
    gateway.request({ path, host, method, headers: { connection: 'close' } })

  async function isServed(path: string, expected: number): Promise<void> {
    for (let i = 0; i < 4; i++) assert.equal((await ask(path)).text, `version ${expected}`, path)
  }

  for (const [what, without] of [
    ['no cache', () => manifests()],
    ['maxTTL: 0s', () => manifests({ maxTTL: '0s' })],
    ['a rule less', () => backend('origin', [port]) + route('web', [HOST], [rule('b', CACHE), rule('all')])],
    ['no Route', () => undefined],
  ] as const)
    it(`has nothing from before: ${what}`, async () => {
      const old = version
      await isServed('/a', old)
      await isServed('/b', 1)
      await edit(without())
      await ask('/a', HOST, 'POST')
      version = old + 1
      await edit(manifests(CACHE))
      await isServed('/a', old + 1)
      if (what !== 'no Route') await isServed('/b', 1)
    })

  it('stays through edits that leave it: another rule, another order, a Backend more', async () => {
    const old = version
    await isServed('/a', old)
    const rules = [rule('b', CACHE), rule('c'), rule('a', CACHE)]
    await edit(backend('origin', [port]) + backend('more', [port]) + route('web', [HOST, 'more.example'], rules))
    version++
    await isServed('/a', old)
    await edit(manifests(CACHE))
    await isServed('/a', old)
  })
})
