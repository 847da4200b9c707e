/** The state directory of the command line is one as that of the settings: for the files of the cache, too. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { httpBackend } from '../feature/backends.ts'
import { backend, eventually, route } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import { start } from './gateway-process.ts'

describe('the flag --state', () => {
  it('is where the cache has its files, which outlive the process', async (t) => {
    const state = await mkdtemp(join(tmpdir(), 'headgate-state-'))
    t.after(() => rm(state, { recursive: true, force: true }))
    const { port } = await httpBackend(t, ({ url }, response) => {
      response.setHeader('cache-control', 'max-age=600').end(`body of ${url}`)
    })
    const rule = { name: 'all', backendRefs: [{ name: 'up' }], policies: { cache: { store: 'File' } } }
    const manifests = { 'all.yaml': backend('up', [port]) + route('files', ['files.test'], [rule]) }
    let pages = 0
    for (const outcome of ['Put', 'Found']) {
      const gateway = await start(t, manifests, { flags: ['--state', state] })
      const says = new RegExp(`archive="File",outcome="${outcome}"} [1-9]`)
      // Files that do not answer within 20 ms, as on a busy machine, are done without.
      let asked = 0
      await eventually(async () => {
        const path = `/page-${outcome === 'Put' ? pages++ : asked++ % pages}`
        const { status, text } = await request(gateway.port, { host: 'files.test', path })
        assert.deepEqual([status, text], [200, `body of ${path}`])
        assert.match((await gateway.signals('/metrics')).text, says)
      })
      assert.equal(
        gateway.log.find(({ message }) => message.includes('files of the cache')),
        undefined,
      )
      gateway.child.kill('SIGTERM')
      await gateway.ended
    }
  })
})
