/** Error pages from a ConfigMap of a real cluster: read only when a Route refers to it, current within a moment. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { figure } from '../lib/figures.ts'
import { type Entrance, entrance, install } from '../lib/headgate.ts'
import { apply, freshNamespace, get, kubectl } from '../lib/kubernetes.ts'
import { route } from '../lib/service.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'contents'
const HOST = 'contents.example'

let door: Entrance

const configMap = (name: string, data: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: NAMESPACE },
  data,
})

before(async () => {
  await install()
  door = await entrance()
  await freshNamespace(NAMESPACE)
  const errors = [
    { codes: ['500-599'], contentType: 'text/html', bodyRef: { configMapName: 'pages', key: 'sorry.html' } },
  ]
  const rule = { name: 'all', backendRefs: [{ name: 'missing' }], policies: { errors } }
  await apply(configMap('unrelated', { 'sorry.html': 'never read' }), route(NAMESPACE, 'shop', HOST, [rule]))
})

after(async () => {
  door?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

const answers = (what: string, body: string | RegExp): Promise<unknown> =>
  until(what, async () => {
    for (let i = 0; i < 6; i++) {
      const answer = await door.ask(HOST)
      assert.ok(answer.status >= 500, `${answer.status}`)
      if (typeof body === 'string' ? answer.body !== body : !body.test(answer.body)) throw new Error(answer.body)
    }
    return true
  })

interface Condition {
  readonly type: string
  readonly message: string
}

async function resolvedRefs(): Promise<string> {
  const read = await get<{ status?: { conditions?: readonly Condition[] } }>('route.headgate.dev', 'shop', NAMESPACE)
  return read?.status?.conditions?.find(({ type }) => type === 'ResolvedRefs')?.message ?? ''
}

describe('an error page in a ConfigMap', () => {
  it('that does not exist leaves the response as it is, and the Route reports it', async () => {
    await answers('the problem document', /"reason":"/)
    await until('ResolvedRefs', async () => /ConfigMap contents\/pages/.test(await resolvedRefs()))
  })

  it('is sent by every replica once it is created, and again as soon as it changes', async () => {
    await apply(configMap('pages', { 'sorry.html': '<h1>first</h1>' }))
    await answers('the page', '<h1>first</h1>')
    const started = performance.now()
    await apply(configMap('pages', { 'sorry.html': '<h1>second</h1>' }))
    await answers('the changed page', '<h1>second</h1>')
    figure('ConfigMap edited → page seen from all replicas', `${(performance.now() - started).toFixed(0)} ms`)
  })

  it('is withdrawn with its ConfigMap', async () => {
    await kubectl('delete', 'configmap', 'pages', '-n', NAMESPACE)
    await answers('the problem document', /"reason":"/)
  })
})
