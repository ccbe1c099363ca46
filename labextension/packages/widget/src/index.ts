// SPDX-License-Identifier: BSD-3-Clause
import { layout } from '@nbflow/graph';

export default { render: (): void => void layout([], []) };
