/** Two processes with one state directory: what is in files is of one at a time, so the other finds nothing purged. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { httpBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { request } from './raw-client.ts'

const HOST = 'files.test'

describe('two processes with one state directory', () => {
  const scope = suiteScope()

  it('the second one serves nothing that was purged in the first, and has the files when that has ended', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'headgate-shared-'))
    scope.after(() => rmSync(folder, { recursive: true, force: true }))
    let version = 1
    const origin = await httpBackend(scope, ({ method }, response) => {
      if (method === 'POST') version++
      response.setHeader('cache-control', method === 'POST' ? 'no-store' : 'max-age=600').end(`version ${version}`)
    })
    const rule = { name: 'all', backendRefs: [{ name: 'up' }], policies: { cache: { store: 'File' } } }
    const manifests = { 'all.yaml': backend('up', [origin.port]) + route('files', [HOST], [rule]) }
    const settings = { stateDirectory: folder }
    const ask = async (gateway: Gateway, path: string, method = 'GET'): Promise<string> => {
      const { body } = await gateway.request({ host: HOST, path, method, headers: { connection: 'close' } })
      return body.toString()
    }
    const puts = async ({ signalsPort }: Gateway): Promise<number> => {
      const { text } = await request(signalsPort, { path: '/metrics', host: 'localhost' })
      return Number(/headgate_cache_archive_total\{archive="File",outcome="Put"\} (\d+)/.exec(text)?.[1])
    }
    const begin = () => startGateway(scope, manifests, { settings })

    const first = await begin()
    let n = 0
    const paths: string[] = []
    // A machine that is busy may be too late for one.
    await eventually(async () => {
      paths.push(`/${n}`)
      await ask(first, `/${n++}`)
      assert.ok((await puts(first)) >= 3)
    }, 60_000)
    const second = await begin()
    for (const path of paths) await ask(first, path, 'POST')
    for (const path of paths) assert.equal(await ask(second, path), `version ${version}`)
    await eventually(() => assert.match(second.processLog.join('\n'), /another process keeps \S+purges\.log/))

    await first.stop()
    await eventually(async () => {
      await ask(second, `/${n++}`)
      assert.ok((await puts(second)) > 0)
    }, 60_000)
  })
})
