import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { WhatIsIt } from './WhatIsIt.jsx';

createRoot(document.querySelector('main')).render(<StrictMode><WhatIsIt /></StrictMode>);
