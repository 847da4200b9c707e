/** Pods as the `restricted` profile wants them, of the image under test: it holds Node.js and the example service. */
import { readFileSync } from 'node:fs'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

export const IMAGE = process.env.HEADGATE_E2E_IMAGE ?? `headgate:${version}`

export interface Container {
  readonly name: string
  readonly command: readonly string[]
  readonly port?: number
  readonly probe?: string
  /** Volume and path. */
  readonly mount?: readonly [string, string]
  readonly env?: readonly unknown[]
  readonly preStopSeconds?: number
}

/** The part of a pod's spec that is the same for all. */
export const restricted = (containers: readonly Container[]) => ({
  securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
  enableServiceLinks: false,
  containers: containers.map(({ name, command, port, probe, mount, env, preStopSeconds }) => ({
    name,
    image: IMAGE,
    imagePullPolicy: 'IfNotPresent',
    command,
    ...(port === undefined ? {} : { ports: [{ name: 'http', containerPort: port }] }),
    ...(probe === undefined
      ? {}
      : { readinessProbe: { httpGet: { path: probe, port }, periodSeconds: 1, failureThreshold: 1 } }),
    ...(mount === undefined ? {} : { volumeMounts: [{ name: mount[0], mountPath: mount[1], readOnly: true }] }),
    ...(env === undefined ? {} : { env }),
    ...(preStopSeconds === undefined ? {} : { lifecycle: { preStop: { sleep: { seconds: preStopSeconds } } } }),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  })),
})
