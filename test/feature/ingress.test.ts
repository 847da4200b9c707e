import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { type EchoBackend, echoBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'

const OURS = { resource: { apiGroup: 'headgate.dev', kind: 'Backend', name: 'echo' } }

function ingress(name: string, spec: object, annotations: Record<string, string> = {}): string {
  const metadata = { name, namespace: 'default', annotations }
  return `${JSON.stringify({ apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata, spec })}\n---\n`
}

const rule = (host: string, path: string, pathType = 'Prefix', to: object = OURS): object => ({
  host,
  http: { paths: [{ path, pathType, backend: to }] },
})

describe('an Ingress in a folder', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let echo: EchoBackend
  before(async () => {
    echo = await echoBackend(scope)
    gateway = await startGateway(scope, {
      'web.yaml':
        backend('echo', [echo.port]) +
        ingress('web', { rules: [rule('shop.test', '/api'), rule('*.wild.test', '/', 'ImplementationSpecific')] }) +
        ingress('other', { ingressClassName: 'nginx', rules: [rule('nginx.test', '/')] }),
      'route.yaml': route('wide', ['*.wild.test'], [{ name: 'deep', respond: { statusCode: 200, body: 'route' } }]),
    })
  })
  const status = async (host: string, path = '/'): Promise<number> => (await gateway.request({ path, host })).status

  it('serves its hosts and paths through a Backend', async () => {
    assert.equal(await status('shop.test', '/api/x'), 200)
    assert.equal(await status('shop.test', '/apix'), 404)
    const line = await gateway.logged(({ route }) => route === 'default/ingress:web:shop.test')
    assert.equal(line.rule, 'rule-0-path-0')
  })

  it('covers one label by a wildcard, however the host is written', async () => {
    for (const host of ['a.wild.test', 'A.Wild.Test', 'a.wild.test.', `a.wild.test:${gateway.port}`]) {
      const answer = await gateway.request({ host })
      assert.notEqual(answer.body.toString(), 'route', host)
      assert.equal(answer.status, 200, host)
    }
    assert.equal((await gateway.request({ host: 'b.a.wild.test' })).body.toString(), 'route')
  })

  it('leaves other classes alone', async () => {
    assert.equal(await status('nginx.test'), 404)
  })

  it('follows a change of its class by annotation, which is no change of its generation', async () => {
    const spec = { rules: [rule('class.test', '/')] }
    await gateway.write('class.yaml', ingress('class', spec))
    await eventually(async () => assert.equal(await status('class.test'), 200))
    await gateway.write('class.yaml', ingress('class', spec, { 'kubernetes.io/ingress.class': 'nginx' }))
    await eventually(async () => assert.equal(await status('class.test'), 404))
  })

  it('serves its last good version when an edit is broken', async () => {
    await gateway.write('edit.yaml', ingress('edit', { rules: [rule('edit.test', '/')] }))
    await eventually(async () => assert.equal(await status('edit.test'), 200))
    await gateway.write('edit.yaml', ingress('edit', { rules: [rule('edit.test', '/', 'Wrong')] }))
    await eventually(() => assert.ok(gateway.processLog.some((line) => line.includes('Ingress default/edit'))))
    assert.equal(await status('edit.test'), 200)
  })
})
