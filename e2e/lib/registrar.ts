/** What registers endpoints with replicas of Headgate: on their own loopback, with a token out of a mounted Secret. */
import { SYSTEM } from './headgate.ts'
import { kubectl } from './kubernetes.ts'

const TOKEN = 'a-token-of-the-cluster-tests'
const FOLDER = '/etc/registrars'
/** In every replica. */
export const REGISTRAR_TOKEN_FILE = `${FOLDER}/token`

/** The Secret; to be there before {@link REGISTRAR_VALUES} are. */
export const registrarSecret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'registrars', namespace: SYSTEM },
  stringData: { token: `${TOKEN}\n` },
}

/** Of the chart; 288 is 0440. */
export const REGISTRAR_VALUES: Readonly<Record<string, string>> = {
  'settings.admin.tokenFile': REGISTRAR_TOKEN_FILE,
  'volumes[0].name': 'registrars',
  'volumes[0].secret.secretName': 'registrars',
  'volumes[0].secret.defaultMode': '288',
  'volumeMounts[0].name': 'registrars',
  'volumeMounts[0].mountPath': FOLDER,
  'volumeMounts[0].readOnly': 'true',
}

/** A request to the registration API of a replica. @returns status and body */
export async function registrar(pod: string, method: string, path: string, body?: object): Promise<string> {
  const url = `http://127.0.0.1:9901/api/v1/backends/${path}`
  const options = {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  }
  const script = `fetch(${JSON.stringify(url)}, ${JSON.stringify(options)})
    .then(async (response) => console.log(response.status, await response.text()))`
  return await kubectl('exec', '-n', SYSTEM, pod, '--', 'node', '-e', script)
}
